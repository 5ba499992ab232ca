// What set-up and the build of the add-on say when something is missing: one sentence with the problem and the remedy.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { loadFailure } from '../../cli/src/setup/loads.js'
import { cudaFolder } from '../../ts/libtorch/paths.js'
import { testIf } from '../test_if.js'
import { fakeLibTorch } from './setup_support.js'
import { root, temporaryFolder } from './support.js'

const folder = temporaryFolder()
const main = join(root, 'cli/src/main.ts')

/** An environment with only the named tools and an empty cache. */
function environment(tools: string[], more: Record<string, string> = {}): NodeJS.ProcessEnv {
  const bin = join(folder, `bin ${tools.join(' ')}`)
  mkdirSync(bin, { recursive: true })
  for (const tool of tools) {
    const { stdout } = spawnSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' })
    if (!existsSync(join(bin, tool))) symlinkSync(realpathSync(stdout.trim()), join(bin, tool))
  }
  const { CLIP_ES_LIBTORCH: _, ...rest } = process.env
  return { ...rest, PATH: bin, CLIP_ES_CACHE: join(folder, 'cache'), ...more }
}

const node = ['--import', 'tsx', main, 'setup']
const setup = (env: NodeJS.ProcessEnv, ...args: string[]): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [...node, ...args], { encoding: 'utf8', cwd: root, env, timeout: 60_000 })

/** The one line that the command ends with. */
function errorOf({ status, stderr }: SpawnSyncReturns<string>): string {
  assert.is(status, 1, stderr)
  assert.match(stderr, /^clip-es: .+\n$/, 'one line and no stack')
  return stderr.slice('clip-es: '.length, -1)
}

const hasTools = ['cmake', 'g++', 'ninja'].every((tool) => spawnSync(tool, ['--version']).error === undefined)
const toolTest = testIf(hasTools, 'the build without a compiler or CMake: there is none to leave out')

toolTest('without compiler, CMake or both, those are named, and how to get them', () => {
  const remedy = /apt-get install cmake g\+\+ ninja-build; Fedora: .+ Then run npm install again$/
  for (const [tools, missing] of [
    [[], 'cmake, a C++ compiler (g++), ninja or make (ninja-build)'],
    [['cmake', 'ninja'], 'a C++ compiler (g++)'],
    [['g++', 'ninja'], 'cmake'],
  ] as const) {
    const builder = [join(root, 'scripts/build_addon.mjs'), '--force']
    const error = errorOf(spawnSync(process.execPath, builder, { encoding: 'utf8', cwd: root, env: environment([...tools]) }))
    assert.ok(error.startsWith(`the add-on must be built, and this is missing: ${missing}. Debian`), error)
    assert.match(error, remedy)
  }
})

test('the error for a cache that cannot be created asks for another one', () => {
  writeFileSync(join(folder, 'file'), '')
  const bin = join(folder, 'python')
  mkdirSync(bin)
  writeFileSync(join(bin, 'python3'), '#!/bin/sh\n', { mode: 0o755 })
  const env = environment([], { PATH: bin, CLIP_ES_CACHE: join(folder, 'file/cache') })
  assert.match(
    errorOf(setup(env, '--cuda')),
    /^the cache .+file\/cache cannot be created \(ENOTDIR.+\): set CLIP_ES_CACHE to a folder that you/,
  )
})

test('without Python, the error of setup --cuda names both remedies', () => {
  assert.match(
    errorOf(setup(environment([]), '--cuda')),
    /^set-up fetches PyTorch's CUDA build with pip, and there is no python3 on PATH: install Python with pip, or point CLIP_ES_LIBTORCH to/,
  )
})

test('a library for another machine and a truncated one give different errors', () => {
  const report = process.report?.getReport() as unknown as { sharedObjects: string[] }
  const elf = readFileSync(report.sharedObjects.find((path) => path.includes('/libm.so')) as string)
  const other = Buffer.from(elf)
  other.writeUInt16LE(183, 18)
  writeFileSync(join(folder, 'arm.so'), other)
  assert.is(loadFailure(join(folder, 'arm.so')), 'it is made for arm64, and this Node.js for x86-64')
  writeFileSync(join(folder, 'cut.so'), elf.subarray(0, elf.length / 4))
  assert.match(loadFailure(join(folder, 'cut.so')) ?? '', /^the file is cut short$|file too short|cannot|invalid/)
})

test('the error for an incomplete CUDA build has the missing library and the remedy', () => {
  const half = fakeLibTorch(join(folder, 'half'), '2.14.1+cu130', true)
  const error = errorOf(setup(environment([], { CLIP_ES_LIBTORCH: half }), '--cuda'))
  assert.match(
    error,
    /half \(\$CLIP_ES_LIBTORCH\) does not load \(.+\): point CLIP_ES_LIBTORCH to a complete LibTorch of 2\.11 or newer/,
  )
})

test('an incomplete CUDA build that set-up fetched is to be deleted', () => {
  const before = process.env.CLIP_ES_CACHE
  process.env.CLIP_ES_CACHE = join(folder, 'half cache')
  const half = fakeLibTorch(cudaFolder(), '2.14.1+cu130', true)
  if (before === undefined) delete process.env.CLIP_ES_CACHE
  else process.env.CLIP_ES_CACHE = before
  const error = errorOf(setup(environment([], { CLIP_ES_CACHE: join(folder, 'half cache') }), '--cuda'))
  assert.ok(error.includes(half), error)
  assert.match(error, /does not load \(.+\): delete that folder and run npx clip-es setup --cuda again/)
})

test.run()
