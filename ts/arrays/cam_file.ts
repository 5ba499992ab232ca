import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import yauzl from 'yauzl'
import { invalid } from '../errors.js'
import { readRegular } from '../files/read_regular.js'
import type { Cams } from '../metrics/cam_rule.js'
import { type NdArray, readNpy, readNpyHead } from './npy.js'
import { readNumpyPickle } from './pickle.js'

/** Whether a file name is one of CAMs. */
export const camExtensions = ['.npz', '.npy'] as const

/**
 * CAMs of a photo: `keys` and `attn_highres`, from our .npz, or from the released CLIP-ES's .npy (a pickled dictionary of the two).
 * @throws ERR_INVALID_ARG with what is wrong in the file
 */
export async function readCams(path: string): Promise<Cams> {
  const file = await readRegular(path)
  const arrays = path.endsWith('.npz') ? await readNpz(file) : readPickled(file)
  const [keys, maps] = ['keys', 'attn_highres'].map((name) => {
    const array = arrays.get(name)
    if (array === undefined) throw invalid(`it has no array '${name}'; there are ${[...arrays.keys()].join(', ') || 'none'}`)
    return array
  }) as [NdArray, NdArray]
  const [count, height, width] = maps.shape
  if (maps.shape.length !== 3 || keys.values.length !== count)
    throw invalid(
      `'attn_highres' is ${maps.shape.join(' x ')}; ${keys.values.length} keys need ${keys.values.length} x height x width`,
    )
  const { values } = maps
  return {
    keys: [...keys.values],
    maps: values instanceof Float32Array ? values : Float32Array.from(values),
    width: width as number,
    height: height as number,
  }
}

async function readNpz(file: Buffer): Promise<Map<string, NdArray>> {
  const arrays = new Map<string, NdArray>()
  try {
    const zip = await promisify<Buffer, yauzl.Options, yauzl.ZipFile>(yauzl.fromBuffer)(file, { lazyEntries: true })
    const open = promisify<yauzl.Entry, NodeJS.ReadableStream>(zip.openReadStream.bind(zip))
    await new Promise<void>((resolve, reject) => {
      zip.on('error', reject).on('end', resolve)
      zip.on('entry', (entry: yauzl.Entry) => {
        const read = async () => {
          const chunks: Buffer[] = []
          for await (const chunk of await open(entry)) chunks.push(chunk as Buffer)
          const bytes = Buffer.concat(chunks)
          if (crc32(bytes) !== entry.crc32) throw invalid(`${entry.fileName} is not what was written: its checksum differs`)
          arrays.set(entry.fileName.replace(/\.npy$/, ''), readNpy(bytes))
          zip.readEntry()
        }
        read().catch(reject)
      })
      zip.readEntry()
    })
  } catch (error) {
    throw invalid(`it is damaged, or no .npz: ${(error as Error).message}`)
  }
  return arrays
}

function readPickled(file: Buffer): Map<string, NdArray> {
  const { descr, start } = readNpyHead(file)
  if (descr !== '|O') throw invalid(`it holds an array of the type ${descr}; a dictionary with keys and attn_highres is expected`)
  const [dictionary] = readNumpyPickle(file.subarray(start)) as unknown[]
  if (!(dictionary instanceof Map)) throw invalid('it holds no dictionary; one with keys and attn_highres is expected')
  return dictionary as Map<string, NdArray>
}
