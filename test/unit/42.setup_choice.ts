// Which LibTorch `clip-es setup` chooses, what it says, and why a library does not load.
import childProcess from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ensureCacheFolder, innermostMessage } from '../../cli/src/setup/causes.js'
import { loadFailure } from '../../cli/src/setup/loads.js'
import { pythonCommand, pythonTorch } from '../../cli/src/setup/python.js'
import { type SetupOptions, setup } from '../../cli/src/setup/setup.js'
import { ClipEsError } from '../../ts/core/errors.js'
import { cudaFolder, oldCpuFolder, pythonRecord } from '../../ts/libtorch/paths.js'
import { having } from './machine_support.js'
import { fakeLibTorch, folder, isolate, write } from './setup_support.js'

isolate(test)

let amx = false
const addon = Object.assign(() => ({ hasAmx: () => amx }), { resolve: () => 'clip_es.node' })
const loader = require.resolve('node-gyp-build')
require(loader)
;(require.cache[loader] as NodeJS.Module).exports = addon // there is no CPU with AMX in most machines

interface Machine {
  amx?: boolean
  /** The torch folder of the python3 on PATH; undefined where there is no Python. */
  torch?: string
  /** What the loader says of a library. */
  loader?: string
}

/** What set-up returns or throws on such a machine, and the lines that it prints. */
async function on(machine: Machine, options: SetupOptions): Promise<{ found: unknown; lines: string[] }> {
  amx = machine.amx ?? false
  const spawnSync = (_: string, [first]: string[]) => {
    if (first === '-e') return { status: 0, signal: null, stdout: machine.loader ?? '' }
    return machine.torch === undefined ? { status: null } : { status: 0, stdout: `torch at ${machine.torch}\n` }
  }
  const lines: string[] = []
  const log = (line: string) => lines.push(line)
  const work = () => setup(options).catch((error: ClipEsError) => `${error.code}: ${error.message}`)
  const spawn = () => {
    throw new Error('no pip here')
  }
  const found = await having(console, { log }, () => having(childProcess, { spawn, spawnSync }, work))
  return { found, lines }
}

const noCuda = 'No CUDA build of LibTorch is set up'
const noPython =
  "ERR_LIBTORCH: set-up fetches PyTorch's CUDA build with pip, and there is no python3 on PATH: install Python with pip, or point CLIP_ES_LIBTORCH to a CUDA build"

test('a CPU without AMX needs no LibTorch; one with AMX uses the installed one, but none that the user names', async () => {
  const none = ['clip-es needs no LibTorch on this CPU; for an NVIDIA GPU run npx clip-es setup --cuda']
  const at = fakeLibTorch(oldCpuFolder())
  assert.equal(await on({}, {}), { found: undefined, lines: none })
  assert.equal(await on({}, { quiet: true }), { found: undefined, lines: [] })
  assert.equal(await on({ amx: true }, {}), {
    found: { folder: at, version: '2.13.0+cpu', source: 'cache' },
    lines: [`clip-es uses LibTorch 2.13.0+cpu at ${at} (set-up's copy)`],
  })
  process.env.CLIP_ES_LIBTORCH = fakeLibTorch(join(folder, 'own'))
  assert.equal(await on({ amx: true }, {}), { found: undefined, lines: none })
})

test("a CPU with AMX uses Python's torch, if it is new enough and loads, and it is written down", async () => {
  const torch = fakeLibTorch(join(folder, 'site/torch'))
  assert.is((await on({ amx: true }, {})).found, undefined)
  assert.is((await on({ amx: true, torch, loader: 'cut short' }, {})).found, undefined)
  fakeLibTorch(torch, '2.10.0')
  assert.is((await on({ amx: true, torch }, {})).found, undefined)
  assert.not(existsSync(pythonRecord()))
  fakeLibTorch(torch, '2.11.0')
  assert.equal(await on({ amx: true, torch }, {}), {
    found: { folder: torch, version: '2.11.0', source: 'python' },
    lines: [`clip-es uses LibTorch 2.11.0 at ${torch} (Python's torch)`],
  })
  assert.is(readFileSync(pythonRecord(), 'utf8'), `${JSON.stringify({ folder: torch, python: 'python3' })}\n`)
})

test('--cuda uses the CUDA build that is installed; one that does not load is an error with the remedy', async () => {
  const own = fakeLibTorch(join(folder, 'own'), '2.14.1', true)
  process.env.CLIP_ES_LIBTORCH = own
  const line = `LibTorch 2.14.1 at ${own} ($CLIP_ES_LIBTORCH)`
  assert.equal(await on({}, { cuda: true }), {
    found: { folder: own, version: '2.14.1', source: 'environment' },
    lines: [`clip-es uses ${line}`],
  })
  assert.is(
    (await on({ loader: 'no libcudart' }, { cuda: true })).found,
    `ERR_LIBTORCH: ${line} does not load (no libcudart): point CLIP_ES_LIBTORCH to a complete LibTorch of 2.11 or newer, or unset it, and run npx clip-es setup --cuda again`,
  )
  const cpu = fakeLibTorch(join(folder, 'cpu'), '2.14.1')
  process.env.CLIP_ES_LIBTORCH = cpu
  assert.is(
    (await on({}, { cuda: true })).found,
    `ERR_LIBTORCH: LibTorch 2.14.1 at ${cpu} ($CLIP_ES_LIBTORCH) is a CPU build: point CLIP_ES_LIBTORCH to a CUDA build, or unset it, and run npx clip-es setup --cuda again`,
  )
  delete process.env.CLIP_ES_LIBTORCH
  fakeLibTorch(cudaFolder(), '2.10.9', true)
  assert.is(
    (await on({}, { cuda: true })).found,
    `ERR_LIBTORCH: LibTorch 2.10.9 at ${cudaFolder()} (set-up's copy) is older than 2.11: delete that folder and run npx clip-es setup --cuda again`,
  )
})

test("--cuda takes Python's CUDA build next, and says why it does not", async () => {
  const torch = fakeLibTorch(join(folder, 'site/torch'))
  assert.equal(await on({}, { cuda: true }), {
    found: noPython,
    lines: [`${noCuda}, and there is no python3 on PATH`],
  })
  const tried = async (machine: Machine) => (await on({ torch, ...machine }, { cuda: true })).lines[0]
  const start = `${noCuda}, and python3's torch 2.13.0+cpu at ${torch}`
  assert.is(await tried({}), `${start} is a CPU build`)
  fakeLibTorch(torch, '2.13.0+cpu', true)
  assert.is(await tried({ loader: 'no libcudart' }), `${start} does not load (no libcudart)`)
  assert.equal(await on({ torch }, { cuda: true }), {
    found: { folder: torch, version: '2.13.0+cpu', source: 'python' },
    lines: [`clip-es uses LibTorch 2.13.0+cpu at ${torch} (Python's torch)`],
  })
  assert.is(readFileSync(pythonRecord(), 'utf8'), `${JSON.stringify({ folder: torch, python: 'python3', cuda: true })}\n`)
  // A recorded build that no longer loads is not an error: Python may have another one.
  assert.equal((await on({ torch, loader: 'cut' }, { cuda: true })).lines[0], `${start} does not load (cut)`)
})

test('Python is python3, else python; its torch must have a libtorch', () => {
  const answers: Record<string, number> = { python: 0 }
  const calls: unknown[][] = []
  const spawnSync = (...call: [string, string[], object]) => {
    calls.push([call[0], call[1][0], call[2]])
    return { status: answers[call[0]] ?? null, stdout: `torch at ${folder}\n` }
  }
  having(childProcess, { spawnSync }, () => {
    assert.is(pythonCommand(), 'python')
    assert.equal(pythonTorch(), { state: 'absent', reason: `python's torch at ${folder} has no lib/libtorch_cpu.so` })
  })
  const timeout = 20_000
  assert.equal(calls.slice(-3), [
    ['python3', '--version', { timeout }],
    ['python', '--version', { timeout }],
    ['python', '-c', { encoding: 'utf8', timeout }],
  ])
})

test('a library for each other machine is named', () => {
  const machines = {
    3: 'x86',
    21: 'ppc64',
    22: 's390x',
    40: 'arm',
    62: 'x86-64',
    183: 'arm64',
    243: 'riscv64',
    999: 'ELF machine 999',
  }
  const header = (machine: number) => {
    const bytes = Buffer.alloc(20)
    bytes.write('\x7fELF', 'latin1')
    bytes.writeUInt16LE(machine, 18)
    return bytes
  }
  writeFileSync(join(folder, 'node'), header(8))
  for (const [machine, name] of Object.entries(machines)) {
    writeFileSync(join(folder, 'library.so'), header(Number(machine)))
    assert.is(
      having(process, { execPath: join(folder, 'node') }, () => loadFailure(join(folder, 'library.so'))),
      `it is made for ${name}, and this Node.js for ELF machine 8`,
    )
  }
})

test('what the loader says, and how its process ended', () => {
  const ended = (run: object) => {
    const spawnSync = (
      program: string,
      [flag, , file]: string[],
      { env, encoding }: { env: NodeJS.ProcessEnv; encoding: string },
    ) => {
      assert.equal([program, flag, file, encoding], [process.execPath, '-e', '/none.so', 'utf8'])
      assert.equal([env.ELECTRON_RUN_AS_NODE, env.NODE_OPTIONS, env.PATH], ['1', '', process.env.PATH])
      return { status: 0, signal: null, stdout: '', ...run }
    }
    return having(childProcess, { spawnSync }, () => loadFailure('/none.so'))
  }
  assert.is(ended({}), undefined)
  assert.is(ended({ error: new Error('EAGAIN') }), 'EAGAIN')
  assert.is(ended({ stdout: ' no symbol\n' }), 'no symbol')
  assert.is(ended({ status: null, signal: 'SIGBUS' }), 'the file is cut short')
  assert.is(ended({ status: null, signal: 'SIGILL' }), 'loading it ended the process with SIGILL')
  assert.is(ended({ status: 3 }), 'loading it ended the process with status 3')
})

test('of a chain of errors the message of the first cause is said, and of several attempts each one', () => {
  const cause = new Error('no route', { cause: 'text' })
  assert.is(innermostMessage(new Error('outer', { cause: new Error('middle', { cause }) })), 'text')
  assert.is(innermostMessage(new AggregateError([new Error('a'), new Error('b', { cause: new Error('c') })])), 'a; c')
  assert.is(innermostMessage(new AggregateError([new Error('a')], 'all failed')), 'all failed')
  assert.is(innermostMessage(new Error('alone')), 'alone')
})

test('the cache is created if needed, and the error for one that cannot be has the remedy', () => {
  assert.is(ensureCacheFolder(), join(folder, 'cache'))
  assert.is(ensureCacheFolder(), join(folder, 'cache'))
  assert.ok(existsSync(join(folder, 'cache')))
  write(join(folder, 'file'), '')
  process.env.CLIP_ES_CACHE = join(folder, 'file/cache')
  assert.throws(ensureCacheFolder, (error: ClipEsError) => {
    assert.is(error.code, 'ERR_LIBTORCH')
    const [start, end] = [
      'cannot be created (ENOTDIR',
      ': set CLIP_ES_CACHE to a folder that you may write, and run npx clip-es setup --cuda again',
    ]
    assert.ok(error.message.startsWith(`the cache ${folder}/file/cache ${start}`) && error.message.endsWith(end), error.message)
    return error instanceof ClipEsError && error.cause instanceof Error
  })
})

test.run()
