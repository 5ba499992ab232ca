import { spawnSync } from 'node:child_process'
import { isTooOld, libraryFile, readVersion } from 'clip-es/support'

const timeLimit = 20_000 // milliseconds; Python on a network drive is slow

// Locates torch without importing it, which would take seconds. Skips the current folder, whose folder torch would not be Python's.
const script = `
import importlib.util, sys
sys.path = [p for p in sys.path if p]
spec = importlib.util.find_spec('torch')
print('torch at', list(spec.submodule_search_locations)[0] if spec and spec.submodule_search_locations else '')
`

/** The torch of the Python on PATH. */
export type PythonTorch =
  | { state: 'found'; python: string; folder: string; version: string }
  | { state: 'old'; python: string; folder: string; version: string }
  | { state: 'absent'; reason: string }

/** The first of python3 and python on PATH, or undefined. */
export function pythonCommand(): string | undefined {
  return ['python3', 'python'].find((name) => spawnSync(name, ['--version'], { timeout: timeLimit }).status === 0)
}

/** Asks the Python on PATH for its torch folder. */
export function pythonTorch(): PythonTorch {
  const python = pythonCommand()
  if (!python) return { state: 'absent', reason: 'there is no python3 on PATH' }
  const run = spawnSync(python, ['-c', script], { encoding: 'utf8', timeout: timeLimit })
  const folder = run.stdout?.match(/^torch at (.+)$/m)?.[1]
  if (!folder) return { state: 'absent', reason: `${python} has no torch` }
  if (!libraryFile(folder)) return { state: 'absent', reason: `${python}'s torch at ${folder} has no lib/libtorch_cpu.so` }
  const version = readVersion(folder)
  return { state: isTooOld(version) ? 'old' : 'found', python, folder, version }
}
