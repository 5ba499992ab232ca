import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'

/** The folder of this package's package.json; dist/libtorch and ts/libtorch are equally deep. */
export const packageRoot = (): string => resolve(__dirname, '..', '..')

export const packageVersion = (): string =>
  (JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string }).version

/** The folder in which set-up keeps what it fetches: $CLIP_ES_CACHE, else $XDG_CACHE_HOME/clip-es, else ~/.cache/clip-es. */
export function cacheFolder(): string {
  const { CLIP_ES_CACHE, XDG_CACHE_HOME } = process.env
  if (CLIP_ES_CACHE) return resolve(CLIP_ES_CACHE)
  // The XDG specification asks to ignore relative paths.
  const base = XDG_CACHE_HOME && isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : join(homedir(), '.cache')
  return join(base, 'clip-es')
}

/** The CPU build that set-up of version 0.1 fetched. It is still used on CPUs with AMX. */
export const oldCpuFolder = (): string => join(cacheFolder(), 'libtorch-2.13.0-cpu')

/** The CUDA build that `setup --cuda` installs, and its folder. */
export const cudaVersion = '2.14.1'
export const cudaFolder = (): string => join(cacheFolder(), `libtorch-${cudaVersion}-cuda`, 'torch')

/** The record of the Python torch that set-up found: `PythonRecord` in find.ts. */
export const pythonRecord = (): string => join(cacheFolder(), 'python-torch.json')
