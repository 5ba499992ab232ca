import { invalid } from 'clip-es/support'
import { toFloat16 } from './float16.js'
import { type StoredFile, storedZip } from './stored_zip.js'

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

/** @param write writes the array's numbers, little-endian */
function npyFile(name: string, head: Buffer, bytes: number, write: (data: Buffer) => void): StoredFile {
  return {
    name: `${name}.npy`,
    size: head.length + bytes,
    fill(file) {
      file.set(head)
      write(file.subarray(head.length))
    },
  }
}

/**
 * CAMs for numpy.load, under the names of the released CLIP-ES files: `keys` int64 (K), 0-based class ids, and `attn_highres`
 * float16 (K, height, width). Not compressed, as the released ones: that would save a third, and take ten times as long.
 * @param cams K * height * width
 */
export function encodeCams(keys: readonly number[], cams: Float32Array, width: number, height: number): Buffer {
  if (cams.length !== keys.length * width * height)
    throw invalid(
      `encodeCams(): ${cams.length} numbers; ${keys.length} maps of ${width} x ${height} need ${keys.length * width * height}`,
    )
  const ids = Buffer.from(BigInt64Array.from(keys, BigInt).buffer)
  return storedZip([
    npyFile('keys', npyHead('<i8', [keys.length]), ids.length, (data) => data.set(ids)),
    npyFile('attn_highres', npyHead('<f2', [keys.length, height, width]), 2 * cams.length, (data) => {
      // Heads and names have even lengths, so that every number begins at an even byte.
      toFloat16(cams, new Uint16Array(data.buffer, data.byteOffset, cams.length))
    }),
  ])
}
