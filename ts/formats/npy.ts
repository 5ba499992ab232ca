import { invalid } from '../core/errors.js'
import { fromFloat16 } from './float16.js'

// numpy's .npy files: numpy.lib.format.

/** A numpy array: its numbers in C order. */
export interface NdArray {
  /** numpy's name without byte order: 'f2', 'f4', 'f8', 'i8', 'i4', 'u1', … */
  type: string
  shape: number[]
  values: Float32Array | Float64Array
}

const magic = Buffer.from('\x93NUMPY', 'latin1')

/** The header of a .npy file, and where its data begin. @throws ERR_INVALID_ARG for anything else */
export function readNpyHead(file: Buffer): { descr: string; fortran: boolean; shape: number[]; start: number } {
  if (!file.subarray(0, 6).equals(magic) || file.length < 12) throw invalid('it is not a .npy array')
  const wide = (file[6] as number) >= 2 // versions 2 and 3 have a longer length
  const length = wide ? file.readUInt32LE(8) : file.readUInt16LE(8)
  const start = (wide ? 12 : 10) + length
  const head = file.toString('latin1', wide ? 12 : 10, start)
  const descr = /'descr':\s*'([^']+)'/.exec(head)?.[1]
  const shape = /'shape':\s*\(([^)]*)\)/.exec(head)?.[1]
  if (descr === undefined || shape === undefined || start > file.length) throw invalid('its .npy header is damaged')
  const sides = shape.split(',').flatMap((side) => (side.trim() === '' ? [] : [Number(side)]))
  return { descr, fortran: /'fortran_order':\s*True/.test(head), shape: sides, start }
}

/** A .npy file of numbers. */
export function readNpy(file: Buffer): NdArray {
  const { descr, fortran, shape, start } = readNpyHead(file)
  if (fortran && shape.length > 1) throw invalid('its array is in Fortran order; save it with numpy.ascontiguousarray')
  return numbersOf(descr, shape, file.subarray(start))
}

const sizes: Readonly<Record<string, number>> = {
  b1: 1,
  u1: 1,
  i1: 1,
  u2: 2,
  i2: 2,
  f2: 2,
  u4: 4,
  i4: 4,
  f4: 4,
  u8: 8,
  i8: 8,
  f8: 8,
}

/** Little-endian bytes as numbers. 64-bit integers above 2^53 are rounded: class ids are small. */
export function numbersOf(descr: string, shape: readonly number[], bytes: Buffer): NdArray {
  const type = descr.slice(1)
  const size = sizes[type]
  if (size === undefined || (descr.startsWith('>') && size > 1))
    throw invalid(
      `its numbers are of the type ${descr}, which is not read; save them as float16, float32 or little-endian integers`,
    )
  const count = shape.reduce((product, side) => product * side, 1)
  if (!Number.isSafeInteger(count) || bytes.length < count * size)
    throw invalid(`its array of ${shape.join(' x ')} needs ${count * size} bytes; there are ${bytes.length}`)
  const copy = new Uint8Array(bytes.subarray(0, count * size)).buffer // aligned
  return { type, shape: [...shape], values: convert(type, copy) }
}

function convert(type: string, buffer: ArrayBuffer): Float32Array | Float64Array {
  switch (type) {
    case 'f2':
      return fromFloat16(new Uint16Array(buffer))
    case 'f4':
      return new Float32Array(buffer)
    case 'f8':
      return new Float64Array(buffer)
    case 'i8':
      return Float64Array.from(new BigInt64Array(buffer), Number)
    case 'u8':
      return Float64Array.from(new BigUint64Array(buffer), Number)
    case 'i4':
      return Float64Array.from(new Int32Array(buffer))
    case 'u4':
      return Float64Array.from(new Uint32Array(buffer))
    case 'i2':
      return Float64Array.from(new Int16Array(buffer))
    case 'u2':
      return Float64Array.from(new Uint16Array(buffer))
    case 'i1':
      return Float64Array.from(new Int8Array(buffer))
    default:
      return Float64Array.from(new Uint8Array(buffer))
  }
}

/** A file in two steps, so that the numbers are written to where they stay. */
export interface NpyFile {
  /** Bytes. */
  size: number
  /** Writes the whole file. `bytes` has `size` bytes of any content. */
  fill(bytes: Buffer): void
}

/** The header of version 1.0, padded so that the data begin at a multiple of 64 bytes. */
function npyHead(descr: string, shape: readonly number[]): Buffer {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})` // as Python writes them
  const dictionary = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`
  const start = 10 // magic, version and the header's own length
  const length = Math.ceil((start + dictionary.length + 1) / 64) * 64 - start
  const head = Buffer.alloc(start)
  magic.copy(head)
  head.writeUInt8(1, 6)
  head.writeUInt16LE(length, 8)
  return Buffer.concat([head, Buffer.from(`${dictionary.padEnd(length - 1)}\n`, 'latin1')])
}

/**
 * A .npy file of numbers in C order.
 * @param descr numpy's name of the type with its byte order, such as '<f2'
 * @param bytes of all numbers
 * @param write writes the numbers
 */
export function npyFile(descr: string, shape: readonly number[], bytes: number, write: (data: Buffer) => void): NpyFile {
  const head = npyHead(descr, shape)
  return {
    size: head.length + bytes,
    fill(file) {
      file.set(head)
      write(file.subarray(head.length))
    },
  }
}
