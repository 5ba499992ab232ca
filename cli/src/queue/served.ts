// How results travel from a worker to the producer by HTTP. Both sides are here: http_server.ts receives, http_client.ts sends.
import type { PhotoState, ResultFiles } from '../dataset/photo.js'
import type { JournalEntry } from '../results/journal.js'
import type { OutputKind } from '../results/store.js'

/** What a worker says of a photo. The producer knows the rest: id, path and state of the file. */
export type ResultEntry = Pick<JournalEntry, 'labels' | 'scores' | 'presence' | 'settings'>

/** The header that brings the state of a photo's file, and takes it back with the results. */
export const stateHeader = 'x-clip-es-photo-state'

export const writeState = ({ bytes, modified }: PhotoState): string => `${bytes} ${modified}`

export function readState(text: unknown): PhotoState | undefined {
  const [, bytes, modified] = /^(\d{1,16}) (\d{1,16})$/.exec(String(text)) ?? []
  return bytes === undefined ? undefined : { bytes: Number(bytes), modified: Number(modified) }
}

/** Bytes of all files of a photo. Maps of many labels are large. */
export const mostResultBytes = 512 * 2 ** 20

const kinds: readonly OutputKind[] = ['mask', 'confidence', 'cams']

/** The body: the length of a JSON text in 4 bytes, the text, then the files. */
export function packResult(entry: ResultEntry, files: ResultFiles): Uint8Array[] {
  const list = [...files].map(([kind, bytes]) => [kind, bytes.length])
  const head = Buffer.from(JSON.stringify({ entry, files: list }))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(head.length)
  return [length, head, ...files.values()]
}

/** Throws an Error for a body that is not what `packResult` makes with these outputs. */
export function unpackResult(body: Buffer, outputs: readonly OutputKind[]): { entry: ResultEntry; files: ResultFiles } {
  const start = 4 + (body.length < 4 ? 0 : body.readUInt32BE())
  if (body.length < 4 || start > body.length) throw new Error('the body is cut off')
  const { entry, files: list } = JSON.parse(body.toString('utf8', 4, start)) as {
    entry: ResultEntry
    files: [OutputKind, number][]
  }
  const files = new Map<OutputKind, Uint8Array>()
  let at = start
  for (const [kind, length] of list) {
    if (!kinds.includes(kind) || !Number.isSafeInteger(length) || length <= 0) throw new Error('the list of files is wrong')
    files.set(kind, body.subarray(at, at + length))
    at += length
  }
  if (at !== body.length) throw new Error('the files do not have the sizes of their list')
  if (files.size !== outputs.length || !outputs.every((kind) => files.has(kind))) throw new Error('other files are expected')
  return { entry: checked(entry), files }
}

const isNumbers = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((element) => typeof element === 'number')

function checked({ labels, scores, presence, settings }: ResultEntry): ResultEntry {
  const optional = presence === undefined || isNumbers(presence)
  if (!isNumbers(labels) || !isNumbers(scores) || !optional || typeof settings !== 'string') throw new Error('the entry is wrong')
  return { labels, settings, scores, ...(presence ? { presence } : {}) }
}
