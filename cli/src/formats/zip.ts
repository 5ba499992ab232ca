import { buffer } from 'node:stream/consumers'
import { crc32 } from 'node:zlib'
import { invalid } from 'clip-es/support'
import { type Entry, fromBufferPromise } from 'yauzl'

// Zip archives (PKWARE's APPNOTE 6.3). Strangers' archives are read by yauzl. Our own are written here: docs/internals/dependencies.md says why.

const most = 2 ** 32 - 1 // what a field of 32 bits can hold

/**
 * The files of an archive by their names, in the archive's order.
 * @throws an error for what is not a zip archive, for a file that is not what was written, and for more than 4 GB
 */
export async function readZip(archive: Buffer): Promise<Map<string, Buffer>> {
  const zip = await fromBufferPromise(archive)
  const entries: Entry[] = []
  for await (const entry of zip.eachEntry()) entries.push(entry)
  // Before anything is decompressed: a small archive can announce any size. yauzl refuses a file that is longer than announced.
  const total = entries.reduce((sum, { uncompressedSize }) => sum + uncompressedSize, 0)
  if (total > most) throw invalid(`its files have ${total} bytes; at most ${most} are read`)
  const files = new Map<string, Buffer>()
  for (const entry of entries) {
    const bytes = await buffer(await zip.openReadStreamPromise(entry))
    if (crc32(bytes) !== entry.crc32) throw invalid(`${entry.fileName} is damaged: its checksum is wrong; write the file again`)
    files.set(entry.fileName, bytes)
  }
  return files
}

/** A file of a new archive. Its bytes are written to where they stay, so they are never copied. */
export interface StoredFile {
  /** ASCII. */
  name: string
  size: number
  /** Writes the whole file. `bytes` has `size` bytes of any content. */
  fill(bytes: Buffer): void
}

const [localHead, centralHead, endRecord] = [30, 46, 22] // bytes, without names

/**
 * An archive of files that are stored without compression. Equal files give equal bytes.
 * @throws ERR_INVALID_ARG for more than 4 GB
 */
export function storedZip(files: readonly StoredFile[]): Buffer {
  const total = files.reduce((sum, { name, size }) => sum + localHead + centralHead + 2 * name.length + size, endRecord)
  if (total > most)
    throw invalid(`the archive would have ${total} bytes, but at most ${most} are possible: use fewer labels or a smaller photo`)
  const zip = Buffer.allocUnsafe(total)
  const directory: Buffer[] = []
  let at = 0
  for (const { name, size, fill } of files) {
    const start = at + localHead + name.length
    const bytes = zip.subarray(start, start + size)
    fill(bytes)
    const facts = factsOf(name, size, crc32(bytes))
    zip.set(Buffer.concat([uint32(0x04034b50), facts, Buffer.from(name, 'latin1')]), at)
    directory.push(directoryEntry(name, facts, at))
    at = start + size
  }
  const entries = Buffer.concat(directory)
  zip.set(entries, at)
  zip.set(endOf(files.length, entries.length, at), at + entries.length)
  return zip
}

function uint16(...values: number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length)
  for (const [i, value] of values.entries()) bytes.writeUInt16LE(value, 2 * i)
  return bytes
}

function uint32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [i, value] of values.entries()) bytes.writeUInt32LE(value, 4 * i)
  return bytes
}

const version = 20 // of the format, times ten
const [flags, stored, time, date] = [0, 0, 0, 0x21] // always 1 January 1980

/** What a file's own header and the directory both contain. */
const factsOf = (name: string, size: number, checksum: number): Buffer =>
  Buffer.concat([uint16(version, flags, stored, time, date), uint32(checksum, size, size), uint16(name.length, 0)])

const unix = 3 << 8
const readable = 0o100644 * 2 ** 16 // a regular file that everyone may read

function directoryEntry(name: string, facts: Buffer, at: number): Buffer {
  const [commentLength, disk, attributes] = [0, 0, 0]
  return Buffer.concat([
    ...[uint32(0x02014b50), uint16(unix | version), facts, uint16(commentLength, disk, attributes)],
    ...[uint32(readable, at), Buffer.from(name, 'latin1')],
  ])
}

const endOf = (count: number, length: number, at: number): Buffer =>
  Buffer.concat([uint32(0x06054b50), uint16(0, 0, count, count), uint32(length, at), uint16(0)])
