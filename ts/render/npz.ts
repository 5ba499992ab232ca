import { Readable } from 'node:stream'
import { ZipFile } from 'yazl'
import { invalid } from '../errors.js'
import { toFloat16 } from './float16.js'

const step = 1 << 18 // numbers converted at a time: the whole array in float16 is never held

/** The head of a .npy file (numpy.lib.format, version 1.0): padded so that the data begin at a multiple of 64 bytes. */
function npyHead(descr: string, shape: readonly number[]): Buffer {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})` // as Python writes them
  const dictionary = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`
  const start = 10 // magic, version and the header's own length
  const length = Math.ceil((start + dictionary.length + 1) / 64) * 64 - start
  const head = Buffer.alloc(start, '\x93NUMPY\x01\x00', 'latin1')
  head.writeUInt16LE(length, 8)
  return Buffer.concat([head, Buffer.from(`${dictionary.padEnd(length - 1)}\n`, 'latin1')])
}

function* float16Chunks(head: Buffer, values: Float32Array): Generator<Buffer> {
  yield head
  for (let at = 0; at < values.length; at += step) yield Buffer.from(toFloat16(values.subarray(at, at + step)).buffer)
}

/**
 * CAMs for numpy.load, under the names of the released CLIP-ES files: `keys` int64 (K), 0-based class ids, and `attn_highres`
 * float16 (K, height, width).
 * @param cams K * height * width
 */
export async function encodeCams(keys: readonly number[], cams: Float32Array, width: number, height: number): Promise<Buffer> {
  if (cams.length !== keys.length * width * height)
    throw invalid(
      `encodeCams(): ${cams.length} numbers; ${keys.length} maps of ${width} x ${height} need ${keys.length * width * height}`,
    )
  const head = npyHead('<f2', [keys.length, height, width])
  const zip = new ZipFile()
  // Always the same date, as numpy does it: the same photo gives the same bytes. Level 1: CAMs are smooth, higher ones gain little.
  const options = { compressionLevel: 1, mtime: new Date(1980, 0, 1), forceDosTimestamp: true }
  zip.addBuffer(
    Buffer.concat([npyHead('<i8', [keys.length]), Buffer.from(BigInt64Array.from(keys, BigInt).buffer)]),
    'keys.npy',
    options,
  )
  zip.addReadStreamLazy('attn_highres.npy', { ...options, size: head.length + cams.length * 2 }, (done) =>
    done(null, Readable.from(float16Chunks(head, cams))),
  )
  zip.end()
  const chunks: Buffer[] = []
  for await (const chunk of zip.outputStream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
