import { buffer } from 'node:stream/consumers'
import { crc32 } from 'node:zlib'
import { invalid, mostZipBytes } from 'clip-es/support'
import { type Entry, fromBufferPromise } from 'yauzl'

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
  if (total > mostZipBytes) throw invalid(`its files have ${total} bytes; at most ${mostZipBytes} are read`)
  const files = new Map<string, Buffer>()
  for (const entry of entries) {
    const bytes = await buffer(await zip.openReadStreamPromise(entry))
    if (crc32(bytes) !== entry.crc32) throw invalid(`${entry.fileName} is damaged: its checksum is wrong; write the file again`)
    files.set(entry.fileName, bytes)
  }
  return files
}
