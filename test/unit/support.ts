// What the unit tests share: photos to segment, folders to spoil, archives to damage, and what an error must say.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { crc32 } from 'node:zlib'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { ClipEsError, type ErrorCode, type LoadOptions, Segmenter } from '../../ts/index.js'

export const root = resolve(__dirname, '../..')
export const modelPath = join(root, 'models/emoji-clip.pt')
/** Another model with the whole vocabulary: its weights are random. */
export const otherModelPath = join(root, 'test/golden/vit-small-random.pt')

const temporary: string[] = []
process.on('exit', () => {
  for (const folder of temporary) rmSync(folder, { recursive: true, force: true })
})

/** An empty folder that is gone when the process ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'clip-es-test-'))
  temporary.push(folder)
  return folder
}

export const load = (path = modelPath, options: LoadOptions = {}): Promise<Segmenter> =>
  Segmenter.load(path, { threads: 2, precision: 'float32', ...options })

/** Three channels; what is in it, and what lies behind. */
export interface Scene {
  readonly data: Uint8Array
  readonly width: number
  readonly height: number
  readonly labels: string[]
  readonly background: string[]
}

/** One of the demo scenes, 'scene01' to 'scene12': 320 x 240 pixels. */
export async function scene(name: string): Promise<Scene> {
  const folder = join(root, 'models/scenes')
  const all = JSON.parse(readFileSync(join(folder, 'labels.json'), 'utf8')) as Record<string, Scene>
  const { labels, background } = all[name] as Scene
  const decoded = sharp(join(folder, `${name}.png`))
    .removeAlpha()
    .raw()
  const { data, info } = await decoded.toBuffer({ resolveWithObject: true })
  assert.is(info.channels, 3)
  return { data, width: info.width, height: info.height, labels, background }
}

/** The scene's upper left corner. */
export function crop({ data, width: from }: Scene, width: number, height: number) {
  const rows = Array.from({ length: height }, (_, y) => data.subarray(y * from * 3, (y * from + width) * 3))
  return { data: new Uint8Array(Buffer.concat(rows)), width, height }
}

/** What a promise rejects with; that it resolves is a failure. */
export async function reasonOf(promise: Promise<unknown>): Promise<unknown> {
  const [outcome] = await Promise.allSettled([promise])
  if (outcome?.status === 'rejected') return outcome.reason
  throw new assert.Assertion({
    message: 'the promise resolved',
    operator: 'rejects',
    expects: 'an error',
    actual: outcome?.value,
  })
}

/** The promise rejects with this code and a message with all these parts. */
export async function rejects(promise: Promise<unknown>, code: ErrorCode, ...parts: (string | RegExp)[]): Promise<void> {
  const reason = await reasonOf(promise)
  if (!(reason instanceof ClipEsError)) throw reason
  assert.is(reason.code, code, reason.message)
  assert.is(reason.name, 'ClipEsError')
  for (const part of parts) assert.match(reason.message, part)
}

/** The share of elements that are the same in both. */
export function agreement(a: Uint8Array, b: Uint8Array): number {
  assert.is(a.length, b.length)
  return a.reduce((same, value, i) => same + Number(value === b[i]), 0) / a.length
}

export function largestDifference(a: Float32Array, b: Float32Array): number {
  assert.is(a.length, b.length)
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] as number))), 0)
}

/**
 * Runs the body of an async function in a process of its own, where `clip` is the package. What it returns comes back as `result`;
 * an error as `error`.
 */
export function inChild(body: string, environment: Record<string, string | undefined> = {}) {
  const code = `const clip = require(${JSON.stringify(join(root, 'ts/index.ts'))});
    (async () => { ${body} })().then(
      (result) => console.log(JSON.stringify({ result })),
      ({ code, message }) => console.log(JSON.stringify({ error: { code, message } })),
    )`
  const env = { ...process.env, ...environment }
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', '-e', code], {
    cwd: root,
    env,
    encoding: 'utf8',
  })
  assert.is(status, 0, stderr)
  return { ...(JSON.parse(stdout) as { result?: unknown; error?: { code: string; message: string } }), stderr }
}

/** A class set's file: its header, to change, and its arrays. */
export class SavedClasses {
  readonly header: Record<string, { shape: number[]; data_offsets: [number, number] }> & { __metadata__: Record<string, string> }
  readonly #body: Buffer

  constructor(file: string) {
    const bytes = readFileSync(file)
    const end = 8 + Number(bytes.readBigUInt64LE())
    this.header = JSON.parse(bytes.toString('utf8', 8, end))
    this.#body = bytes.subarray(end)
  }

  /** Unit rows, one per text. */
  rows(name: 'rows' | 'background'): Float32Array[] {
    const { shape, data_offsets: offsets } = this.header[name] as { shape: number[]; data_offsets: [number, number] }
    const [count, embedding] = shape as [number, number]
    const floats = new Float32Array(new Uint8Array(this.#body.subarray(...offsets)).buffer)
    return Array.from({ length: count }, (_, i) => floats.subarray(i * embedding, (i + 1) * embedding))
  }

  bytes(): Buffer {
    const header = Buffer.from(JSON.stringify(this.header))
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(header.length))
    return Buffer.concat([length, header, this.#body])
  }
}

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
