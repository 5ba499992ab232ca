import { writeFileSync } from 'node:fs'
import { ClipEsError } from 'clip-es'
import {
  hasAmx,
  hasCuda,
  installedLibTorch,
  isTooOld,
  type LibTorch,
  libraryFile,
  oldestVersion,
  type PythonRecord,
  pythonRecord,
  readVersion,
} from 'clip-es/support'
import { ensureCacheFolder } from './causes.js'
import { fetchCudaLibTorch } from './fetch_cuda.js'
import { loadFailure } from './loads.js'
import { pythonTorch } from './python.js'

export interface SetupOptions {
  /** Find or fetch a CUDA build of LibTorch, for NVIDIA GPUs. */
  cuda?: boolean
  /** Print only errors. */
  quiet?: boolean
}

type Say = (line: string) => void

const origin = { environment: '$CLIP_ES_LIBTORCH', cache: "set-up's copy", python: "Python's torch" }

const describe = ({ version, folder, source }: LibTorch): string => `LibTorch ${version} at ${folder} (${origin[source]})`

/** The reason why a LibTorch cannot be used, or undefined. */
function unfitness(folder: string, version: string): string | undefined {
  if (isTooOld(version)) return `is older than ${oldestVersion}`
  const failed = loadFailure(libraryFile(folder) ?? folder)
  return failed && `does not load (${failed})`
}

/** Writes down where a Python's torch is, so that loading a model never has to start Python. */
function record(python: PythonRecord): LibTorch {
  ensureCacheFolder()
  writeFileSync(pythonRecord(), `${JSON.stringify(python)}\n`)
  return { folder: python.folder, version: readVersion(python.folder), source: 'python' }
}

/** The CUDA build of the Python on PATH. If it has none, says why and returns undefined. */
function adoptCudaOfPython(say: Say): LibTorch | undefined {
  const none = 'No CUDA build of LibTorch is set up'
  const answer = pythonTorch()
  if (answer.state === 'absent') {
    say(`${none}, and ${answer.reason}`)
    return undefined
  }
  const { folder, version, python } = answer
  const unfit = unfitness(folder, version) ?? (hasCuda(folder) ? undefined : 'is a CPU build')
  if (!unfit) return record({ folder, python, cuda: true })
  say(`${none}, and ${python}'s torch ${version} at ${folder} ${unfit}`)
  return undefined
}

async function ensureCudaLibTorch(say: Say, quiet: boolean): Promise<LibTorch> {
  const installed = installedLibTorch()
  if (installed?.source === 'environment' && !hasCuda(installed.folder))
    throw new ClipEsError(
      'ERR_LIBTORCH',
      `${describe(installed)} is a CPU build: point CLIP_ES_LIBTORCH to a CUDA build, or unset it, and run npx clip-es setup --cuda again`,
    )
  if (installed && hasCuda(installed.folder)) {
    const unfit = unfitness(installed.folder, installed.version)
    if (!unfit) return installed
    if (installed.source !== 'python') {
      const remedy =
        installed.source === 'cache'
          ? 'delete that folder'
          : `point CLIP_ES_LIBTORCH to a complete LibTorch of ${oldestVersion} or newer, or unset it,`
      throw new ClipEsError('ERR_LIBTORCH', `${describe(installed)} ${unfit}: ${remedy} and run npx clip-es setup --cuda again`)
    }
  }
  const python = adoptCudaOfPython(say)
  if (python) return python
  const folder = await fetchCudaLibTorch({ say, quiet })
  return { folder, version: readVersion(folder), source: 'cache' }
}

/** A LibTorch for the products in bfloat16 of a CPU with AMX: the installed one, else the torch of the Python on PATH. None is fetched. */
function findForAmx(): LibTorch | undefined {
  if (process.env.CLIP_ES_LIBTORCH || !hasAmx()) return undefined
  const installed = installedLibTorch()
  if (installed) return installed
  const python = pythonTorch()
  if (python.state !== 'found' || unfitness(python.folder, python.version)) return undefined
  return record({ folder: python.folder, python: python.python })
}

/**
 * Finds a LibTorch for what would use one on this machine: with `cuda` a CUDA build (environment, cache, Python), which is fetched if there is
 * none. Says in one line what it found, in a few lines what it did. Throws ERR_LIBTORCH.
 */
export async function setup({ cuda = false, quiet = false }: SetupOptions = {}): Promise<LibTorch | undefined> {
  const say: Say = quiet ? () => undefined : (line) => console.log(line)
  const libtorch = cuda ? await ensureCudaLibTorch(say, quiet) : findForAmx()
  say(
    libtorch
      ? `clip-es uses ${describe(libtorch)}`
      : 'clip-es needs no LibTorch on this CPU; for an NVIDIA GPU run npx clip-es setup --cuda',
  )
  return libtorch
}
