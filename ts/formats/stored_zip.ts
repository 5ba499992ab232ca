import { crc32 } from 'node:zlib'
import { invalid } from '../core/errors.js'

// Zip archives (PKWARE's APPNOTE 6.3) for numpy.load. docs/internals/dependencies.md says why this is our own code. Archives of others are read
// by the command, with yauzl: the library does without that dependency.

/** Bytes of an archive: what a field of 32 bits can hold. */
export const mostZipBytes = 2 ** 32 - 1

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
  if (total > mostZipBytes)
    throw invalid(
      `the archive would have ${total} bytes, but at most ${mostZipBytes} are possible: use fewer labels or a smaller photo`,
    )
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
