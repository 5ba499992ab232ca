import { invalid } from 'clip-es/support'
import { type NdArray, type NpyFile, readNpy } from './npy.js'
import { readZip, storedZip } from './zip.js'

// numpy's .npz files: zip archives of .npy files.

/** The arrays of an .npz file by their names. @throws ERR_INVALID_ARG for another kind of file, or a damaged one */
export async function readNpz(file: Buffer): Promise<Map<string, NdArray>> {
  try {
    const files = await readZip(file)
    return new Map([...files].map(([name, bytes]) => [name.replace(/\.npy$/, ''), readNpy(bytes)]))
  } catch (error) {
    throw invalid(`it is damaged, or not an .npz file: ${(error as Error).message}`)
  }
}

/** An .npz file without compression, as numpy.savez writes it. @throws ERR_INVALID_ARG for more than 4 GB */
export function encodeNpz(arrays: Readonly<Record<string, NpyFile>>): Buffer {
  return storedZip(Object.entries(arrays).map(([name, file]) => ({ name: `${name}.npy`, ...file })))
}
