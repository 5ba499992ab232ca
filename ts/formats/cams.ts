import { invalid } from '../core/errors.js'
import { toFloat16 } from './float16.js'
import { npyFile } from './npy.js'
import { encodeNpz } from './npz.js'

/**
 * A file of CAMs for numpy.load, under the names of the released CLIP-ES files: `keys` int64 (K), 0-based class ids, and `attn_highres`
 * float16 (K, height, width). Not compressed, like the released files: compression would save a third and take ten times as long.
 * @param cams K * height * width
 */
export function encodeCams(keys: readonly number[], cams: Float32Array, width: number, height: number): Buffer {
  if (cams.length !== keys.length * width * height)
    throw invalid(
      `encodeCams(): ${cams.length} numbers; ${keys.length} maps of ${width} x ${height} need ${keys.length * width * height}`,
    )
  const ids = Buffer.from(BigInt64Array.from(keys, BigInt).buffer)
  return encodeNpz({
    keys: npyFile('<i8', [keys.length], ids.length, (data) => data.set(ids)),
    attn_highres: npyFile('<f2', [keys.length, height, width], 2 * cams.length, (data) => {
      // Headers and names have even lengths, so every number begins at an even byte.
      toFloat16(cams, new Uint16Array(data.buffer, data.byteOffset, cams.length))
    }),
  })
}
