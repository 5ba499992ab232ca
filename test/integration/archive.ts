// Reads, changes and writes model archives, to test damaged ones.
import { readFileSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import * as assert from 'uvu/assert'
import { modelPath } from '../unit/support.js'

interface Entry {
  name: string
  method: number
  crc32: number
  unpacked: number
  bytes: Buffer
}

function readEntries(zip: Buffer): Entry[] {
  const end = zip.lastIndexOf('PK\x05\x06', undefined, 'latin1')
  const entries: Entry[] = []
  let at = zip.readUInt32LE(end + 16)
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    const [name, extra, comment] = [28, 30, 32].map((field) => zip.readUInt16LE(at + field)) as [number, number, number]
    const local = zip.readUInt32LE(at + 42)
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28)
    entries.push({
      name: zip.toString('utf8', at + 46, at + 46 + name),
      method: zip.readUInt16LE(at + 10),
      crc32: zip.readUInt32LE(at + 16),
      unpacked: zip.readUInt32LE(at + 24),
      bytes: Buffer.from(zip.subarray(start, start + zip.readUInt32LE(at + 20))),
    })
    at += 46 + name + extra + comment
  }
  return entries
}

/** The fields that the two headers of an entry share, from the version to the lengths of name and extra field. */
function sharedFields({ name, method, crc32, unpacked, bytes }: Entry): Buffer {
  const fields = Buffer.alloc(26)
  fields.writeUInt16LE(20, 0)
  fields.writeUInt16LE(method, 4)
  fields.writeUInt32LE(crc32, 10)
  fields.writeUInt32LE(bytes.length, 14)
  fields.writeUInt32LE(unpacked, 18)
  fields.writeUInt16LE(Buffer.byteLength(name), 22)
  return fields
}

/** A model archive to change: records are replaced, and all checksums are right when it is written again. */
export class Archive {
  #entries: Entry[]

  constructor(file = modelPath) {
    this.#entries = readEntries(readFileSync(file))
  }

  /** A stored record, by its name below the archive's folder. Change its bytes in place. */
  record(name: string): Buffer {
    const entry = this.#entries.find((entry) => entry.name.endsWith(`/${name}`))
    if (entry?.method !== 0) throw new Error(`no stored record ${name}`)
    return entry.bytes
  }

  /** Another content for a stored record. */
  replace(name: string, text: string): void {
    const old = this.record(name)
    const entry = this.#entries.find(({ bytes }) => bytes === old) as Entry
    entry.bytes = Buffer.from(text)
  }

  /** Leaves out all records of a folder, such as the code, without which the archive is a bare state dict. */
  remove(folder: string): void {
    this.#entries = this.#entries.filter(({ name }) => !name.includes(`/${folder}/`))
  }

  add(name: string, text: string): void {
    const folder = (this.#entries[0] as Entry).name.split('/')[0]
    const bytes = Buffer.from(text)
    this.#entries.push({ name: `${folder}/${name}`, method: 0, crc32: 0, unpacked: 0, bytes })
  }

  /** Puts bytes in the place of others, which stand exactly once in the pickle that says which tensors there are. */
  patchPickle(from: Buffer, to: Buffer): void {
    const pickle = this.record('data.pkl')
    const at = pickle.indexOf(from)
    assert.ok(at >= 0 && pickle.indexOf(from, at + 1) < 0, `${from} is not once in the pickle`)
    const entry = this.#entries.find(({ bytes }) => bytes === pickle) as Entry
    entry.bytes = Buffer.concat([pickle.subarray(0, at), to, pickle.subarray(at + from.length)])
  }

  bytes(): Buffer {
    const parts: Buffer[] = []
    const directory: Buffer[] = []
    let offset = 0
    for (const entry of this.#entries) {
      if (entry.method === 0) Object.assign(entry, { crc32: crc32(entry.bytes), unpacked: entry.bytes.length })
      const name = Buffer.from(entry.name)
      const fields = sharedFields(entry)
      const rest = Buffer.alloc(14) // no comment, no attributes, where the record begins
      rest.writeUInt32LE(offset, 10)
      directory.push(Buffer.from('PK\x01\x02\x14\x00', 'latin1'), fields, rest, name)
      const record = [Buffer.from('PK\x03\x04', 'latin1'), fields, name, entry.bytes]
      parts.push(...record)
      offset += record.reduce((sum, { length }) => sum + length, 0)
    }
    const end = Buffer.alloc(22)
    end.write('PK\x05\x06', 0, 'latin1')
    end.writeUInt16LE(this.#entries.length, 8)
    end.writeUInt16LE(this.#entries.length, 10)
    end.writeUInt32LE(
      directory.reduce((sum, { length }) => sum + length, 0),
      12,
    )
    end.writeUInt32LE(offset, 16)
    return Buffer.concat([...parts, ...directory, end])
  }
}

/** A text as a pickle writes it. */
export function pickled(text: string): Buffer {
  const head = Buffer.from('X\0\0\0\0', 'latin1')
  head.writeUInt32LE(Buffer.byteLength(text), 1)
  return Buffer.concat([head, Buffer.from(text)])
}
