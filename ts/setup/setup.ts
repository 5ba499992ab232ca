import { writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import { ClipEsError } from '../errors.js'
import { hasAmx } from '../native.js'
import { type Addon, ensureAddon } from './addon.js'
import { ensureCacheFolder } from './causes.js'
import { fetchCudaLibTorch } from './fetch_cuda.js'
import {
  hasCuda,
  installedLibTorch,
  isTooOld,
  type LibTorch,
  libraryFile,
  oldestVersion,
  type PythonRecord,
  readVersion,
} from './find.js'
import { loadFailure } from './loads.js'
import { packageRoot, pythonRecord } from './paths.js'
import { pythonTorch } from './python.js'

export interface SetupOptions {
  /** Find or fetch a CUDA build of LibTorch, for NVIDIA GPUs. */
  cuda?: boolean
  /** Build the add-on even if there is a usable one. */
  build?: boolean
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
 * Makes the package ready: builds the add-on if needed and, with `cuda`, finds a CUDA build of LibTorch (environment, cache, Python) or fetches
 * one. Says in a few lines what it found or did, in one line if there was nothing to do. Throws ERR_LIBTORCH.
 */
export async function setup({
  build = false,
  cuda = false,
  quiet = false,
}: SetupOptions = {}): Promise<{ addon: Addon; libtorch: LibTorch | undefined }> {
  const say: Say = quiet ? () => undefined : (line) => console.log(line)
  const forCuda = cuda ? await ensureCudaLibTorch(say, quiet) : undefined
  const addon = await ensureAddon({ say, build })
  const libtorch = forCuda ?? findForAmx()
  say(`clip-es is set up: add-on ${relative(packageRoot(), addon.file)}${libtorch ? `, ${describe(libtorch)}` : ''}`)
  return { addon, libtorch }
}
