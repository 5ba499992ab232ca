// What the tests of set-up share: a place of each test's own, and folders that look like LibTorch's.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Test } from 'uvu'

const variables = ['CLIP_ES_LIBTORCH', 'CLIP_ES_CACHE', 'XDG_CACHE_HOME', 'PATH'] as const
const saved = Object.fromEntries(variables.map((name) => [name, process.env[name]]))

/** The running test's own, empty at its start. */
export let folder = ''

/** Every test gets an empty folder, of which `cache` is the cache, and an environment that names nothing else. */
export function isolate<T>(tests: Test<T>): Test<T> {
  tests.before.each(() => {
    folder = mkdtempSync(join(tmpdir(), 'clip-es-test-'))
    for (const variable of variables) if (variable !== 'PATH') delete process.env[variable]
    process.env.CLIP_ES_CACHE = join(folder, 'cache')
  })
  tests.after.each(() => {
    for (const [variable, value] of Object.entries(saved)) {
      if (value === undefined) delete process.env[variable]
      else process.env[variable] = value
    }
    rmSync(folder, { recursive: true, force: true })
  })
  return tests
}

export function write(file: string, content: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content)
}

/** A folder with libraries in it, as far as a finder looks. */
export function fakeLibTorch(at: string, version = '2.13.0+cpu', cuda = false): string {
  write(join(at, 'lib/libtorch_cpu.so'), 'no library')
  if (cuda) write(join(at, 'lib/libtorch_cuda.so'), 'no library')
  write(join(at, 'version.py'), `from typing import Optional\n__version__ = '${version}'\ndebug = False\n`)
  return at
}
