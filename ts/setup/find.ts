import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { ClipEsError } from '../errors.js'
import { fetchedCudaFolder, fetchedFolder, pythonRecord } from './paths.js'

/** A LibTorch on this machine. */
export interface LibTorch {
  /** Holds lib/libtorch_cpu.so or libtorch_cpu.so. */
  folder: string
  /** $CLIP_ES_LIBTORCH, set-up's own copy, or the torch of the Python that set-up asked. */
  source: 'environment' | 'cache' | 'python'
  /** As '2.13.0+cpu'; 'unknown' for a folder of libraries alone. */
  version: string
}

/** What set-up keeps of a Python that has a usable torch. */
export interface PythonRecord {
  folder: string
  python: string
  /** It was asked for as a CUDA build, and comes before set-up's CPU build. */
  cuda?: boolean
}

export const oldestVersion = '2.11'

const readIfThere = (file: string): string | undefined => (existsSync(file) ? readFileSync(file, 'utf8') : undefined)

/** The library in a LibTorch folder, or undefined. */
export function libraryFile(folder: string): string | undefined {
  return ['lib/libtorch_cpu.so', 'libtorch_cpu.so'].map((name) => join(folder, name)).find(existsSync)
}

/** A wheel says its version in version.py, an official archive in build-version; both lie beside lib/. */
export function readVersion(folder: string): string {
  const library = libraryFile(folder)
  const top = library && !existsSync(join(folder, 'lib')) ? dirname(folder) : folder
  const fromWheel = readIfThere(join(top, 'version.py'))?.match(/^__version__\s*=\s*['"]([^'"]+)['"]/m)?.[1]
  return fromWheel ?? (readIfThere(join(top, 'build-version'))?.trim() || 'unknown')
}

/** True for a version known to be under the oldest that the engine can use. */
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
      'point it to a LibTorch (the folder that holds lib/ and include/), or unset it and run: npx clip-es setup',
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
    return undefined // half written or edited: set-up writes it anew
  }
}

function fromRecord(cuda = false): LibTorch | undefined {
  const record = readRecord()
  if (!record || (cuda && !record.cuda)) return undefined
  const { folder } = record
  return libraryFile(folder) ? { folder, source: 'python', version: readVersion(folder) } : undefined
}

/**
 * What is installed, in the order of preference: a CUDA build that was asked for comes before the CPU's. Throws only for a wrong
 * $CLIP_ES_LIBTORCH, which is never passed over.
 */
export const installedLibTorch = (): LibTorch | undefined =>
  fromEnvironment() ?? fromCache(fetchedCudaFolder()) ?? fromRecord(true) ?? fromCache(fetchedFolder()) ?? fromRecord()

/**
 * The LibTorch to load: $CLIP_ES_LIBTORCH, else set-up's copy in the cache, else the Python torch that set-up recorded.
 * Looks at a handful of files and starts nothing. Throws ERR_LIBTORCH where there is none.
 */
export function findLibTorch(): LibTorch {
  const found = installedLibTorch()
  if (found) return found
  const record = readRecord()
  const gone = record ? ` (the torch of ${record.python} that set-up found at ${record.folder} is gone)` : ''
  throw new ClipEsError(
    'ERR_LIBTORCH',
    `no LibTorch is set up${gone}: run npx clip-es setup, or point CLIP_ES_LIBTORCH to one of ${oldestVersion} or newer`,
  )
}
