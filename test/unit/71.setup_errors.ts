// Set-up where something is missing, as its user meets it: one sentence that says what is wrong and what to do.
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findLibTorch } from '../../ts/setup/find.js'
import { loadFailure } from '../../ts/setup/loads.js'
import { root, temporaryFolder } from './support.js'

const folder = temporaryFolder()
const main = join(root, 'ts/cli/main.ts')
const libtorch = findLibTorch().folder

/** The environment of somebody who has nothing: tools alone that are named here, an empty cache, no address but one that refuses. */
function environment(tools: string[], more: Record<string, string> = {}): NodeJS.ProcessEnv {
  const bin = join(folder, `bin ${tools.join(' ')}`)
  mkdirSync(bin, { recursive: true })
  for (const tool of tools) {
    const { stdout } = spawnSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' })
    if (!existsSync(join(bin, tool))) symlinkSync(realpathSync(stdout.trim()), join(bin, tool))
  }
  const { CLIP_ES_LIBTORCH: _, ...rest } = process.env
  return { ...rest, PATH: bin, CLIP_ES_CACHE: join(folder, 'cache'), CLIP_ES_LIBTORCH_URL: 'http://127.0.0.1:2', ...more }
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
if (!hasTools) console.log('skipped: set-up without a compiler or CMake: there is none to leave out')
const toolTest: typeof test.skip = hasTools ? test : test.skip

toolTest('without compiler, CMake or both, those are named, and how to get them', () => {
  const remedy = /apt-get install cmake g\+\+ ninja-build; Fedora: .+ Then run npx clip-es setup again$/
  for (const [tools, missing] of [
    [[], 'cmake, a C++ compiler (g++), ninja or make (ninja-build)'],
    [['cmake', 'ninja'], 'a C++ compiler (g++)'],
    [['g++', 'ninja'], 'cmake'],
  ] as const) {
    const error = errorOf(setup(environment([...tools], { CLIP_ES_LIBTORCH: libtorch }), '--build'))
    assert.ok(error.startsWith(`the add-on has to be built, and this is missing: ${missing}. Debian`), error)
    assert.match(error, remedy)
  }
})

toolTest('a LibTorch without headers cannot build the add-on', () => {
  const bare = join(folder, 'bare')
  mkdirSync(bare)
  symlinkSync(join(libtorch, 'lib'), join(bare, 'lib'))
  const error = errorOf(setup(environment(['cmake', 'g++', 'ninja'], { CLIP_ES_LIBTORCH: bare }), '--build'))
  assert.match(error, /bare has no headers .+: point CLIP_ES_LIBTORCH to a complete LibTorch of 2\.11 or newer/)
})

test('a cache that cannot be made: choose another', () => {
  writeFileSync(join(folder, 'file'), '')
  const env = environment([], { CLIP_ES_CACHE: join(folder, 'file/cache') })
  assert.match(
    errorOf(setup(env)),
    /^the cache .+file\/cache cannot be made \(ENOTDIR.+\): set CLIP_ES_CACHE to a folder that you/,
  )
})

const mount = join(folder, 'small disk')
mkdirSync(mount)
const mounts = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', mount]).status === 0
test.after(() => {
  if (mounts) spawnSync('umount', [mount])
})
if (!mounts) console.log('skipped: set-up on a full disk: this user may not mount a small one')
const diskTest: typeof test.skip = mounts ? test : test.skip

/** Runs the command while a server of this process answers. */
async function served(answer: Parameters<typeof createServer>[1], env: (address: string) => NodeJS.ProcessEnv) {
  const server = createServer(answer as never).listen(0, '127.0.0.1')
  await new Promise((done) => server.once('listening', done))
  const child = spawn(process.execPath, node, { cwd: root, env: env(`127.0.0.1:${(server.address() as AddressInfo).port}`) })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (text) => (stdout += text))
  child.stderr.on('data', (text) => (stderr += text))
  const status = await new Promise<number | null>((done) => child.once('close', done))
  server.closeAllConnections()
  server.close()
  return { status, stdout, stderr } as SpawnSyncReturns<string>
}

diskTest('a full disk: how much room, and where to say that there is more', async () => {
  const ended = await served(
    (_, response) => response.end(Buffer.alloc(500_000)),
    (address) => environment([], { CLIP_ES_CACHE: mount, CLIP_ES_LIBTORCH_URL: `http://${address}` }),
  )
  assert.match(errorOf(ended), /\(ENOSPC: .+\): make 700 MB of room there or set CLIP_ES_CACHE to a folder that has it/)
})

test('no network: the address, why, and the other ways', () => {
  const error = errorOf(setup(environment([])))
  assert.match(error, /^LibTorch could not be fetched from http:\/\/127\.0\.0\.1:2 .+\((connect )?ECONNREFUSED/)
  assert.match(
    error,
    /run npx clip-es setup again to go on, correct CLIP_ES_LIBTORCH_URL, or point CLIP_ES_LIBTORCH to a LibTorch$/,
  )
})

test("a mirror's address that is none, and one with a password: it is sent and never shown", async () => {
  assert.match(
    errorOf(setup(environment([], { CLIP_ES_LIBTORCH_URL: 'mirror/whl' }))),
    /^CLIP_ES_LIBTORCH_URL is mirror\/whl, which is no address/,
  )
  const asked: (string | undefined)[] = []
  const ended = await served(
    (request, response) => {
      asked.push(request.headers.authorization)
      response.writeHead(403).end()
    },
    (address) => environment([], { CLIP_ES_LIBTORCH_URL: `http://me:s%C3%A9cret@${address}/whl` }),
  )
  assert.equal(asked, [`Basic ${Buffer.from('me:sécret').toString('base64')}`])
  assert.match(errorOf(ended), /answered 403 Forbidden/)
  assert.not.match(ended.stdout + ended.stderr, /cret/)
})

test('a library for another machine, one that is cut short, and one whose neighbours are missing are told apart', () => {
  const library = join(libtorch, 'lib/libtorch_cpu.so')
  const other = Buffer.from(readFileSync(process.execPath).subarray(0, 4096))
  other.writeUInt16LE(183, 18)
  writeFileSync(join(folder, 'arm.so'), other)
  assert.is(loadFailure(join(folder, 'arm.so')), 'it is made for arm64, and this Node.js for x86-64')
  const cut = spawnSync('head', ['-c', '5000000', library], { maxBuffer: 1 << 24 }).stdout
  writeFileSync(join(folder, 'cut.so'), cut)
  assert.is(loadFailure(join(folder, 'cut.so')), 'the file is cut short')
  const half = join(folder, 'half')
  mkdirSync(join(half, 'lib'), { recursive: true })
  copyFileSync(library, join(half, 'lib/libtorch_cpu.so'))
  const error = errorOf(setup(environment([], { CLIP_ES_LIBTORCH: half })))
  assert.match(
    error,
    /half \(\$CLIP_ES_LIBTORCH\) does not load \(lib\S+: cannot open shared object file.+\): point CLIP_ES_LIBTORCH to/,
  )
})

test.run()
