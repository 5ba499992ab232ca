import type { NpyFile } from './npy.js'
import { storedZip } from './stored_zip.js'

/** An .npz file without compression, as numpy.savez writes it. @throws ERR_INVALID_ARG for more than 4 GB */
export function encodeNpz(arrays: Readonly<Record<string, NpyFile>>): Buffer {
  return storedZip(Object.entries(arrays).map(([name, file]) => ({ name: `${name}.npy`, ...file })))
}
