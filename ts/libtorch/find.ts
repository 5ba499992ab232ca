import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { ClipEsError } from '../core/errors.js'
import type { ResolvedLoadOptions } from '../engine/load_options.js'
import { cudaFolder, oldCpuFolder, pythonRecord } from './paths.js'

/** A LibTorch on this machine. */
export interface LibTorch {
  /** Holds lib/libtorch_cpu.so or libtorch_cpu.so. */
  folder: string
  /** $CLIP_ES_LIBTORCH, a folder in set-up's cache, or the torch of the Python that set-up asked. */
  source: 'environment' | 'cache' | 'python'
  /** For example '2.13.0+cpu'; 'unknown' for a folder that holds only libraries. */
  version: string
}

/** What set-up writes down about a Python that has a usable torch. */
export interface PythonRecord {
  folder: string
  python: string
  /** `setup --cuda` chose it. It is preferred to CPU builds. */
  cuda?: boolean
}

export const oldestVersion = '2.11'

const readIfThere = (file: string): string | undefined => (existsSync(file) ? readFileSync(file, 'utf8') : undefined)

/** The library in a LibTorch folder, or undefined. */
export function libraryFile(folder: string): string | undefined {
  return ['lib/libtorch_cpu.so', 'libtorch_cpu.so'].map((name) => join(folder, name)).find(existsSync)
}

/** A wheel keeps its version in version.py, an official archive in build-version; both are next to lib/. */
export function readVersion(folder: string): string {
  const library = libraryFile(folder)
  const top = library && !existsSync(join(folder, 'lib')) ? dirname(folder) : folder
  const fromWheel = readIfThere(join(top, 'version.py'))?.match(/^__version__\s*=\s*['"]([^'"]+)['"]/m)?.[1]
  return fromWheel ?? (readIfThere(join(top, 'build-version'))?.trim() || 'unknown')
}

/** True for a version that is known to be older than the engine can use. */
export function isTooOld(version: string): boolean {
  const [major, minor] = version.split('.').map(Number)
  const [oldestMajor = 0, oldestMinor = 0] = oldestVersion.split('.').map(Number)
  if (major === undefined || minor === undefined || Number.isNaN(major)) return false
  return major < oldestMajor || (major === oldestMajor && minor < oldestMinor)
}

function fromEnvironment(): LibTorch | undefined {
  const value = process.env.CLIP_ES_LIBTORCH
  if (!value) return undefined
  const folder = resolve(value)
  if (libraryFile(folder)) return { folder, source: 'environment', version: readVersion(folder) }
  throw new ClipEsError(
    'ERR_LIBTORCH',
    `CLIP_ES_LIBTORCH is ${value}, but neither lib/libtorch_cpu.so nor libtorch_cpu.so is there: ` +
      'point it to a LibTorch (the folder that holds lib/), or unset it and run npx clip-es setup --cuda',
  )
}

/** True for a CUDA build. */
export const hasCuda = (folder: string): boolean =>
  ['lib/libtorch_cuda.so', 'libtorch_cuda.so'].some((name) => existsSync(join(folder, name)))

function fromCache(folder: string): LibTorch | undefined {
  return libraryFile(folder) ? { folder, source: 'cache', version: readVersion(folder) } : undefined
}

function readRecord(): PythonRecord | undefined {
  try {
    const record = JSON.parse(readIfThere(pythonRecord()) ?? 'null') as Partial<PythonRecord> | null
    if (typeof record?.folder !== 'string') return undefined
    return { folder: record.folder, python: String(record.python), cuda: record.cuda === true }
  } catch {
    return undefined // incomplete or edited: set-up replaces it
  }
}

function fromRecord(cuda = false): LibTorch | undefined {
  const record = readRecord()
  if (!record || (cuda && !record.cuda)) return undefined
  const { folder } = record
  return libraryFile(folder) ? { folder, source: 'python', version: readVersion(folder) } : undefined
}

/**
 * The LibTorch on this machine: $CLIP_ES_LIBTORCH, else a CUDA build that set-up fetched or found, else a CPU build. Looks at a few files
 * and starts no program. Throws ERR_LIBTORCH only if $CLIP_ES_LIBTORCH names a folder without a LibTorch.
 */
export const installedLibTorch = (): LibTorch | undefined =>
  fromEnvironment() ?? fromCache(cudaFolder()) ?? fromRecord(true) ?? fromCache(oldCpuFolder()) ?? fromRecord()

/** As `installedLibTorch`, but a wrong $CLIP_ES_LIBTORCH is no error. */
function usableLibTorch(): LibTorch | undefined {
  try {
    return installedLibTorch()
  } catch {
    return undefined
  }
}

/** The folder of an installed CUDA build, or undefined. */
export function installedCudaFolder(): string | undefined {
  const folder = usableLibTorch()?.folder
  return folder !== undefined && hasCuda(folder) ? folder : undefined
}

function requireLibTorch(device: string): LibTorch {
  const found = installedLibTorch()
  if (found) return found
  const record = readRecord()
  const gone = record ? ` (the torch of ${record.python} that set-up found at ${record.folder} does not exist any more)` : ''
  throw new ClipEsError(
    'ERR_LIBTORCH',
    `device '${device}' needs a CUDA build of LibTorch, and no LibTorch is set up${gone}: run npx clip-es setup --cuda, ` +
      `point CLIP_ES_LIBTORCH to one of ${oldestVersion} or newer, or use device 'cpu'`,
  )
}

/**
 * The folder of the LibTorch to load, or '' for none. A GPU needs one. A CPU with AMX uses one for products in bfloat16, if there is one.
 * No other CPU uses LibTorch. Throws ERR_LIBTORCH if a GPU is asked for and there is no LibTorch.
 * @param hasAmx asked only when the answer matters
 */
export function libTorchFor(
  { device, precision }: Pick<ResolvedLoadOptions, 'device' | 'precision'>,
  hasAmx: () => boolean,
): string {
  if (device !== 'cpu') return requireLibTorch(device).folder
  if (precision === 'float32' || !hasAmx()) return ''
  return usableLibTorch()?.folder ?? ''
}
