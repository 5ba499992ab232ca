import { fusions, mostClasses } from '../core/defaults.js'
import { ClipEsError } from '../core/errors.js'
import { readRegular } from '../files/read_regular.js'
import { writeWhole } from '../files/write_whole.js'
import type { ClassSetData } from './class_set_data.js'

// A class set is a safetensors file: eight bytes of the header's length, a JSON header, raw little-endian arrays.
const format = 'clip-es class set 1'

interface Entry {
  dtype: 'F32' | 'I32'
  shape: number[]
  data_offsets: [number, number]
}

type Header = Record<string, Entry> & { __metadata__?: Record<string, string> }

/** Only files with thresholds have them, as a list with null for a class without one of its own. */
const thresholdsText = (thresholds: ClassSetData['labelThresholds']): Record<string, string> =>
  thresholds.some((threshold) => threshold !== undefined) ? { label_thresholds: JSON.stringify(thresholds) } : {}

/** A reader never sees half of the file. */
export function writeClassSet(file: string, data: ClassSetData): void {
  const { embedding, rows, firstRow, backgroundRows } = data
  const arrays = { rows, first_row: firstRow, background: backgroundRows }
  const shapes = {
    rows: [rows.length / embedding, embedding],
    first_row: [firstRow.length],
    background: [backgroundRows.length / embedding, embedding],
  }
  let end = 0
  const entries = Object.entries(arrays).map(([name, array]): [string, Entry] => {
    const begin = end
    end += array.byteLength
    const dtype = array instanceof Int32Array ? 'I32' : 'F32'
    return [name, { dtype, shape: shapes[name as keyof typeof shapes], data_offsets: [begin, end] }]
  })
  const metadata = {
    format,
    model: data.fingerprint,
    fusion: data.fusion,
    names: JSON.stringify(data.names),
    background: JSON.stringify(data.background),
    dropped_background: JSON.stringify(data.droppedBackground),
    templates: JSON.stringify(data.templates),
    ...thresholdsText(data.labelThresholds),
  }
  const text = JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) })
  const header = Buffer.from(text.padEnd(text.length + ((8 - (Buffer.byteLength(text) % 8)) % 8))) // data start at a multiple of eight
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  const bytes = [length, header, ...Object.values(arrays).map((a) => Buffer.from(a.buffer, a.byteOffset, a.byteLength))]
  try {
    writeWhole(file, Buffer.concat(bytes))
  } catch (cause) {
    const remedy = 'check that its folder exists, that you may write there, and that the disk has room'
    throw new ClipEsError('ERR_IO', `save(): cannot write ${file}: ${(cause as Error).message}; ${remedy}`, { cause })
  }
}

async function readBytes(file: string, signal: AbortSignal | undefined): Promise<Buffer> {
  signal?.throwIfAborted()
  try {
    return await readRegular(file, signal)
  } catch (cause) {
    signal?.throwIfAborted()
    throw new ClipEsError(
      'ERR_MODEL_READ',
      `loadClasses(): cannot read ${file}: ${(cause as Error).message}; check the path and the permissions`,
      { cause },
    )
  }
}

/** Reads a file of save(). Throws ERR_MODEL_READ, ERR_MODEL_FORMAT for anything that is not one, or the signal's reason. */
export async function readClassSet(file: string, signal?: AbortSignal): Promise<ClassSetData> {
  const bytes = await readBytes(file, signal)
  try {
    return parse(bytes)
  } catch (cause) {
    throw new ClipEsError(
      'ERR_MODEL_FORMAT',
      `${file} is not a class set of save(), or is damaged: ${(cause as Error).message}`,
      { cause },
    )
  }
}

function parse(bytes: Buffer): ClassSetData {
  const require = (ok: boolean, what: string) => {
    if (!ok) throw new Error(what)
  }
  require(bytes.length >= 8, `it has ${bytes.length} bytes`)
  const length = Number(bytes.readBigUInt64LE())
  require(length <= bytes.length - 8, 'its header is cut off')
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Header
  const { __metadata__: metadata } = header
  require(metadata?.format === format, `its format is '${metadata?.format}', expected '${format}'`)
  const body = bytes.subarray(8 + length)

  const array = (name: string, dtype: string, dimensions: number) => {
    const entry = header[name]
    const [begin = -1, end = -1] = entry?.data_offsets ?? []
    const sizes = entry?.shape ?? []
    const fits =
      entry?.dtype === dtype &&
      sizes.length === dimensions &&
      begin >= 0 &&
      end <= body.length &&
      end - begin === 4 * sizes.reduce((a, b) => a * b, 1)
    require(fits, `array ${name} is missing or does not fit the file`)
    const copy = new Uint8Array(body.subarray(begin, end)).buffer
    return { sizes, floats: new Float32Array(copy), integers: new Int32Array(copy) }
  }
  const texts = (name: string): string[] => {
    const list = JSON.parse(metadata?.[name] ?? 'null') as unknown
    require(Array.isArray(list) && list.every((item) => typeof item === 'string'), `its ${name} is not a list of texts`)
    return list as string[]
  }
  const thresholds = (classes: number): (number | undefined)[] => {
    if (metadata?.label_thresholds === undefined) return Array.from({ length: classes }, () => undefined)
    const list = JSON.parse(metadata.label_thresholds) as unknown
    const valid = (value: unknown) => value === null || (typeof value === 'number' && value >= 0 && value <= 1)
    require(Array.isArray(list) &&
      list.length === classes &&
      list.every(valid), 'its label_thresholds are not a number from 0 to 1, or null, for each class')
    return (list as (number | null)[]).map((value) => value ?? undefined)
  }
  const rows = array('rows', 'F32', 2)
  const background = array('background', 'F32', 2)
  const firstRow = array('first_row', 'I32', 1).integers
  const names = texts('names')
  require(names.length <= mostClasses && new Set(names).size === names.length, 'its names are too many, or one stands twice')
  require(names.length > 0 && firstRow.length === names.length + 1 && firstRow[0] === 0, 'its classes and rows do not agree')
  require(firstRow.every((row, i) => i === 0 || row > (firstRow[i - 1] as number)) &&
    firstRow.at(-1) === rows.sizes[0], 'its classes and rows do not agree')
  require(background.sizes[0] === texts('background').length &&
    (background.sizes[0] === 0 || background.sizes[1] === rows.sizes[1]), 'its background does not agree')
  require([...rows.floats, ...background.floats].every(Number.isFinite), 'an embedding is not finite')
  require(fusions.some((known) => known === metadata?.fusion), `its fusion is '${metadata?.fusion}'`)
  return {
    names,
    background: texts('background'),
    droppedBackground: texts('dropped_background'),
    templates: texts('templates'),
    fusion: metadata?.fusion as ClassSetData['fusion'],
    fingerprint: metadata?.model ?? '',
    embedding: rows.sizes[1] as number,
    rows: rows.floats,
    firstRow,
    backgroundRows: background.floats,
    labelThresholds: thresholds(names.length),
  }
}
