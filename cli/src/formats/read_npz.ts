import { invalid, type NdArray, readNpy } from 'clip-es/support'
import { readZip } from './read_zip.js'

/** The arrays of an .npz file by their names. @throws ERR_INVALID_ARG for another kind of file, or a damaged one */
export async function readNpz(file: Buffer): Promise<Map<string, NdArray>> {
  try {
    const files = await readZip(file)
    return new Map([...files].map(([name, bytes]) => [name.replace(/\.npy$/, ''), readNpy(bytes)]))
  } catch (error) {
    throw invalid(`it is damaged, or not an .npz file: ${(error as Error).message}`)
  }
}
