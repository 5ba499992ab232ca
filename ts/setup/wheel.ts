import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Entry, openPromise, type ZipFile } from 'yauzl'
import { ClipEsError } from '../errors.js'

/** Hexadecimal SHA-256 of a file. */
export async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash)
  return hash.digest('hex')
}

// Python's bridge, its shared-memory helper and PyTorch's own tests: nothing that the operators need.
const unneededLibrary = /^lib(torch_python|shm|backend_with_compiler|aoti_custom_ops|.*test)\./

/** Where a wheel's file goes in a LibTorch folder; undefined for what neither runs nor builds the add-on. */
export function placeOf(entry: string): string | undefined {
  const library = entry.match(/^torch\/lib\/([^/]+\.so(\.[\d.]+)?)$/)?.[1]
  if (library) return unneededLibrary.test(library) ? undefined : `lib/${library}`
  if (/^torch\/include\/torch\/(csrc\/(stable|inductor)|headeronly)\//.test(entry)) return entry.slice('torch/'.length)
  if (entry === 'torch/version.py') return 'version.py'
  return entry.match(/\.dist-info\/(licenses\/.+|LICENSE[^/]*|NOTICE[^/]*)$/)?.[1]
}

async function read(zip: ZipFile, entry: Entry): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of await zip.openReadStreamPromise(entry)) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

/** RECORD's lines are `path,sha256=<base64url>,size`; none of the paths that are wanted here is quoted. */
function parseRecord(text: string): Map<string, string> {
  const matches = text.matchAll(/^([^"\n]+),sha256=([\w-]+)=*,\d+\r?$/gm)
  return new Map(Array.from(matches, ([, path = '', hash = '']) => [path, hash]))
}

async function unpackEntry(zip: ZipFile, entry: Entry, file: string, expected: string | undefined): Promise<void> {
  mkdirSync(dirname(file), { recursive: true })
  const hash = createHash('sha256')
  const hashing = new Transform({
    transform(chunk: Buffer, _encoding, next) {
      hash.update(chunk)
      next(null, chunk)
    },
  })
  await pipeline(await zip.openReadStreamPromise(entry), hashing, createWriteStream(file))
  if (hash.digest('base64url') !== expected)
    throw new ClipEsError('ERR_LIBTORCH', `${entry.fileName} differs from what the wheel's own RECORD says: fetch the wheel anew`)
}

/** Unpacks of a torch wheel what runs and builds the add-on, each file compared with the wheel's RECORD. Returns the bytes written. */
export async function unpackWheel(wheel: string, folder: string): Promise<number> {
  const zip = await openPromise(wheel, { autoClose: false })
  try {
    const entries: Entry[] = []
    for await (const entry of zip.eachEntry()) entries.push(entry)
    const record = entries.find((entry) => /^[^/]+\.dist-info\/RECORD$/.test(entry.fileName))
    if (!record) throw new ClipEsError('ERR_LIBTORCH', `${wheel} is not a wheel: it has no dist-info/RECORD`)
    const hashes = parseRecord(await read(zip, record))
    let bytes = 0
    for (const entry of entries) {
      const place = placeOf(entry.fileName)
      if (!place || place.endsWith('/')) continue
      await unpackEntry(zip, entry, join(folder, place), hashes.get(entry.fileName))
      bytes += entry.uncompressedSize
    }
    return bytes
  } finally {
    zip.close()
  }
}
