import { renameSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { replaceable } from 'clip-es/support'

/**
 * Writes a file from parts, whole or not at all: under another name in the same folder first, then renamed. Parts are asked for as fast as they
 * can be written, so no more than a few are in memory.
 * @throws ERR_INVALID_ARG where something stands that is not a regular file, what making a part throws, or the error of the file system
 */
export async function writeParts(file: string, parts: Iterable<string> | AsyncIterable<string>): Promise<void> {
  const target = replaceable(file)
  const temporary = join(dirname(target), `.clip-es-${process.pid}-parts.tmp`)
  try {
    const handle = await open(temporary, 'w') // a stream that opens it could do so after its removal below
    await pipeline(parts, handle.createWriteStream())
    renameSync(temporary, target)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}
