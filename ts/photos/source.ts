import { types } from 'node:util'
import { ClipEsError, invalid } from '../core/errors.js'
import { checkFile } from '../core/file_argument.js'
import { readRegular } from '../files/read_regular.js'

/** A file by its path or file URL, or the bytes of one. */
export type FileSource = string | URL | Uint8Array

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'it may not be read: its permissions forbid it',
}

/** What is wrong with a file, in a sentence that goes on from its name. */
function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return error instanceof ClipEsError ? message : (reasons[code ?? ''] ?? `it cannot be read (${message})`)
}

/**
 * Gives `decode` the bytes of a source.
 * @param decode throws ERR_INVALID_ARG with a sentence that goes on from the name of the file: "it is …"
 * @throws ERR_INVALID_ARG with the name in front: the file's path, or "the image" for bytes. Other errors of `decode` stay as they are.
 */
export async function readSource<T>(
  call: string,
  source: FileSource,
  signal: AbortSignal | undefined,
  decode: (bytes: Buffer) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted()
  const file = types.isUint8Array(source) ? undefined : checkFile(call, 'source', source)
  try {
    const bytes = file === undefined ? viewOf(source as Uint8Array) : await readRegular(file, signal)
    if (!bytes.length) throw invalid('it is empty')
    return await decode(bytes)
  } catch (cause) {
    signal?.throwIfAborted()
    if (cause instanceof ClipEsError && cause.code !== 'ERR_INVALID_ARG') throw cause
    throw invalid(`${file ?? 'the image'}: ${reasonOf(cause)}`, { cause })
  }
}

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer => Buffer.from(buffer, byteOffset, byteLength)
