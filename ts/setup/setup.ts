import { writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import { ClipEsError } from '../errors.js'
import { type Addon, ensureAddon } from './addon.js'
import { ensureCacheFolder } from './causes.js'
import { fetchLibTorch } from './fetch.js'
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
  /** See to a CUDA build of LibTorch, for NVIDIA GPUs. */
  cuda?: boolean
  /** Build the add-on even where a usable one is there. */
  build?: boolean
  /** Say nothing but errors. */
  quiet?: boolean
}

type Say = (line: string) => void

const origin = { environment: '$CLIP_ES_LIBTORCH', cache: "set-up's copy", python: "Python's torch" }

const describe = ({ version, folder, source }: LibTorch): string => `LibTorch ${version} at ${folder} (${origin[source]})`

/** Why a LibTorch cannot serve, or undefined. */
function unfitness(folder: string, version: string): string | undefined {
  if (isTooOld(version)) return `is older than ${oldestVersion}`
  const failed = loadFailure(libraryFile(folder) ?? folder)
  return failed && `does not load (${failed})`
}

/** Python's torch, recorded so that loading never has to ask Python; undefined, after saying why, if there is none of use. */
function adoptPython(say: Say, cuda: boolean): LibTorch | undefined {
  const none = `No ${cuda ? 'CUDA build of ' : ''}LibTorch is set up`
  const answer = pythonTorch()
  if (answer.state === 'absent') {
    say(`${none}, and ${answer.reason}`)
    return undefined
  }
  const { folder, version, python } = answer
  const unfit = unfitness(folder, version)
  if (unfit) {
    say(`${none}, and ${python}'s torch ${version} at ${folder} ${unfit}`)
    return undefined
  }
  if (cuda && !hasCuda(folder)) {
    say(`${none}, and ${python}'s torch ${version} at ${folder} computes on the CPU alone`)
    return undefined
  }
  const record: PythonRecord = { folder, python, cuda }
  ensureCacheFolder()
  writeFileSync(pythonRecord(), `${JSON.stringify(record)}\n`)
  return { folder, version, source: 'python' }
}

async function ensureLibTorch(say: Say, quiet: boolean, cuda: boolean): Promise<LibTorch> {
  const installed = installedLibTorch()
  if (cuda && installed?.source === 'environment' && !hasCuda(installed.folder))
    throw new ClipEsError(
      'ERR_LIBTORCH',
      `${describe(installed)} computes on the CPU alone: point CLIP_ES_LIBTORCH to a CUDA build, or unset it, and run npx clip-es setup --cuda again`,
    )
  if (installed && (!cuda || hasCuda(installed.folder))) {
    const unfit = unfitness(installed.folder, installed.version)
    if (!unfit) return installed
    if (installed.source !== 'python') {
      const remedy =
        installed.source === 'cache'
          ? 'delete that folder'
          : `point CLIP_ES_LIBTORCH to a complete LibTorch of ${oldestVersion} or newer, or unset it,`
      throw new ClipEsError('ERR_LIBTORCH', `${describe(installed)} ${unfit}: ${remedy} and run npx clip-es setup again`)
    }
  }
  const python = adoptPython(say, cuda)
  if (python) return python
  const folder = await (cuda ? fetchCudaLibTorch : fetchLibTorch)({ say, quiet })
  return { folder, version: readVersion(folder), source: 'cache' }
}

/**
 * Makes the package ready: finds a LibTorch (environment, cache, Python) or fetches one, then sees to the add-on. Says in a few
 * lines what was found or done; when everything is there, in one. Throws ERR_LIBTORCH.
 */
export async function setup({
  build = false,
  cuda = false,
  quiet = false,
}: SetupOptions = {}): Promise<{ libtorch: LibTorch; addon: Addon }> {
  const say: Say = quiet ? () => undefined : (line) => console.log(line)
  const libtorch = await ensureLibTorch(say, quiet, cuda)
  const addon = await ensureAddon(libtorch, { say, build })
  say(`clip-es is set up: ${describe(libtorch)}, add-on ${relative(packageRoot(), addon.file)}`)
  return { libtorch, addon }
}
