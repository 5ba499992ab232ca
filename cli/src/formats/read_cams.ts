import { invalid, type NdArray, readNpyHead, readRegular } from 'clip-es/support'
import { type Cams, checkCams } from '../metrics/cam_rule.js'
import { readNumpyPickle } from './pickle.js'
import { readNpz } from './read_npz.js'

/** The extensions of files of CAMs. */
export const camExtensions = ['.npz', '.npy'] as const

/**
 * Reads a file of CAMs: our .npz, or the .npy of the released CLIP-ES, a pickled dictionary of the same two arrays.
 * @throws ERR_INVALID_ARG, whose message says what is wrong and does not name the file
 */
export async function readCams(path: string): Promise<Cams> {
  const file = await readRegular(path)
  const arrays = path.endsWith('.npz') ? await readNpz(file) : readPickled(file)
  const keys = numbersIn('keys', arrays)
  const maps = arrayIn('attn_highres', arrays)
  const [count, height, width] = maps.shape
  if (maps.shape.length !== 3 || keys.length !== count)
    throw invalid(
      `'attn_highres' has the shape ${maps.shape.join(' x ')}; ${keys.length} keys need ${keys.length} x height x width`,
    )
  const { values } = maps
  const cams = {
    keys,
    maps: values instanceof Float32Array ? values : Float32Array.from(values),
    width: width as number,
    height: height as number,
  }
  checkCams(cams)
  return cams
}

/** What a dictionary holds under a name. Throws ERR_INVALID_ARG with the names that there are. */
function entry(name: string, arrays: ReadonlyMap<unknown, unknown>): unknown {
  if (arrays.has(name)) return arrays.get(name)
  const names = [...arrays.keys()].map(String)
  const list = names.length > 12 ? `${names.slice(0, 12).join(', ')}, …` : names.join(', ')
  throw invalid(
    `it has no array '${name}' but ${list || 'nothing'}; save class ids as 'keys' (K) and their maps as 'attn_highres' (K x height x width)`,
  )
}

const isArray = (value: unknown): value is NdArray => typeof value === 'object' && value !== null && 'shape' in value

function arrayIn(name: string, arrays: ReadonlyMap<unknown, unknown>): NdArray {
  const value = entry(name, arrays)
  if (isArray(value)) return value
  throw invalid(`'${name}' is ${kindOfValue(value)}; an array of numbers is expected`)
}

/** An array, or a list as Python has it. */
function numbersIn(name: string, arrays: ReadonlyMap<unknown, unknown>): number[] {
  const value = entry(name, arrays)
  if (isArray(value)) return [...value.values]
  if (Array.isArray(value) && value.every((item) => typeof item === 'number')) return value
  throw invalid(`'${name}' is ${kindOfValue(value)}; an array or a list of numbers is expected`)
}

function kindOfValue(value: unknown): string {
  if (value === null || value === undefined) return 'None'
  if (Array.isArray(value)) return 'a list'
  return value instanceof Map ? 'a dictionary' : `a ${typeof value}`
}

function readPickled(file: Buffer): Map<unknown, unknown> {
  const { descr, start } = readNpyHead(file)
  if (descr !== '|O')
    throw invalid(
      `it holds an array of the type ${descr}; a dictionary with keys and attn_highres is expected, as numpy.save(file, {'keys': …, 'attn_highres': …}) writes it`,
    )
  const value = readNumpyPickle(file.subarray(start))
  const dictionary = Array.isArray(value) ? value[0] : undefined
  if (!(dictionary instanceof Map)) throw invalid('it does not hold a dictionary; one with keys and attn_highres is expected')
  return dictionary
}
