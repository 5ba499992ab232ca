import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { homedir, hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ClipEsError } from '../../ts/errors.js'
import { fetchLibTorch, type Wheel } from '../../ts/setup/fetch.js'
import { findLibTorch, isTooOld, readVersion } from '../../ts/setup/find.js'
import { loadFailure } from '../../ts/setup/loads.js'
import { cacheFolder, fetchedFolder, pythonRecord } from '../../ts/setup/paths.js'
import { pythonTorch } from '../../ts/setup/python.js'
import { placeOf } from '../../ts/setup/wheel.js'
import { fakeLibTorch, folder, isolate, write } from './setup_support.js'

const isolated = (name: string) => isolate(suite(name))

const recordPython = (at: string) => write(pythonRecord(), JSON.stringify({ folder: at, python: 'python3' }))

const error =
  (code: string, ...parts: (string | RegExp)[]) =>
  (thrown: unknown) => {
    if (!(thrown instanceof ClipEsError)) throw thrown
    assert.is(thrown.code, code)
    for (const part of parts) assert.match(thrown.message, part)
    return true
  }

async function rejection(promise: Promise<unknown>): Promise<ClipEsError> {
  const reason = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  assert.instance(reason, ClipEsError)
  return reason as ClipEsError
}

const find = isolated('find')

find('the cache is $CLIP_ES_CACHE, else $XDG_CACHE_HOME/clip-es unless relative, else ~/.cache/clip-es', () => {
  assert.is(cacheFolder(), join(folder, 'cache'))
  delete process.env.CLIP_ES_CACHE
  process.env.XDG_CACHE_HOME = '/xdg'
  assert.is(cacheFolder(), '/xdg/clip-es')
  process.env.XDG_CACHE_HOME = 'xdg'
  assert.is(cacheFolder(), join(homedir(), '.cache/clip-es'))
})

find('$CLIP_ES_LIBTORCH comes before the cache, the cache before the recorded Python', () => {
  const python = fakeLibTorch(join(folder, 'python/torch'), '2.12.1')
  recordPython(python)
  assert.equal(findLibTorch(), { folder: python, source: 'python', version: '2.12.1' })
  fakeLibTorch(fetchedFolder())
  assert.equal(findLibTorch(), { folder: fetchedFolder(), source: 'cache', version: '2.13.0+cpu' })
  process.env.CLIP_ES_LIBTORCH = fakeLibTorch(join(folder, 'own'), '2.14.1+cu130')
  assert.equal(findLibTorch(), { folder: join(folder, 'own'), source: 'environment', version: '2.14.1+cu130' })
})

find('a wrong $CLIP_ES_LIBTORCH is an error that names it, and is not passed over', () => {
  fakeLibTorch(fetchedFolder())
  process.env.CLIP_ES_LIBTORCH = join(folder, 'nothing')
  assert.throws(findLibTorch, error('ERR_LIBTORCH', join(folder, 'nothing'), 'npx clip-es setup'))
})

find('nothing set up names npx clip-es setup', () => {
  assert.throws(findLibTorch, error('ERR_LIBTORCH', 'no LibTorch is set up:', 'npx clip-es setup'))
})

find('a recorded torch that has gone is no find, and the error says where it was', () => {
  recordPython(join(folder, 'gone/torch'))
  assert.throws(findLibTorch, error('ERR_LIBTORCH', join(folder, 'gone/torch'), 'npx clip-es setup'))
})

find('a damaged record is as good as none', () => {
  for (const content of ['', '{"folder": ', 'null', '[]', '{"folder": 3}']) {
    write(pythonRecord(), content)
    assert.throws(findLibTorch, error('ERR_LIBTORCH', 'no LibTorch is set up:'))
  }
})

find('a folder of libraries alone is taken, its version from beside it if there', () => {
  const libraries = join(fakeLibTorch(join(folder, 'own')), 'lib')
  process.env.CLIP_ES_LIBTORCH = libraries
  assert.equal(findLibTorch(), { folder: libraries, source: 'environment', version: '2.13.0+cpu' })
  write(join(folder, 'bare/libtorch_cpu.so'), '')
  assert.is(readVersion(join(folder, 'bare')), 'unknown')
})

find("an official archive's version is in build-version", () => {
  write(join(folder, 'libtorch/lib/libtorch_cpu.so'), '')
  write(join(folder, 'libtorch/build-version'), '2.12.0+cpu\n')
  assert.is(readVersion(join(folder, 'libtorch')), '2.12.0+cpu')
})

find('versions under 2.11 are too old, whatever their patch or build', () => {
  for (const version of ['2.10.9', '2.7.0+cu126', '1.13.1', '2.9']) assert.ok(isTooOld(version), version)
  for (const version of ['2.11.0', '2.13.0+cpu', '3.0', 'unknown']) assert.not(isTooOld(version), version)
})

/** A python3 on an otherwise empty PATH that answers for itself and for the script. */
function fakePython(answer: string) {
  const file = join(folder, 'bin/python3')
  write(file, `#!/bin/sh\ncase "$1" in --version) echo Python 3;; *) ${answer};; esac\n`)
  chmodSync(file, 0o755)
  process.env.PATH = dirname(file)
}

find("Python's torch is found, too old, or absent with a reason", () => {
  const torch = fakeLibTorch(join(folder, 'site/torch'), '2.12.0')
  fakePython(`echo torch at ${torch}`)
  assert.equal(pythonTorch(), { state: 'found', python: 'python3', folder: torch, version: '2.12.0' })
  fakeLibTorch(torch, '2.7.1+cu126')
  assert.equal(pythonTorch(), { state: 'old', python: 'python3', folder: torch, version: '2.7.1+cu126' })
  fakePython("echo 'torch at '")
  assert.equal(pythonTorch(), { state: 'absent', reason: 'python3 has no torch' })
  process.env.PATH = join(folder, 'nowhere')
  assert.equal(pythonTorch(), { state: 'absent', reason: 'there is no python3 on PATH' })
})

find('a library that does not load is told apart from one that does', () => {
  write(join(folder, 'bad.so'), 'no library')
  assert.match(loadFailure(join(folder, 'bad.so')) ?? '', /file too short|invalid ELF header/)
  assert.match(loadFailure(join(folder, 'absent.so')) ?? '', /No such file/)
  assert.is(loadFailure('libm.so.6'), undefined)
})

find('of a wheel, only what runs and builds the add-on is unpacked', () => {
  const places = {
    'torch/lib/libtorch_cpu.so': 'lib/libtorch_cpu.so',
    'torch/lib/libgomp.so.1': 'lib/libgomp.so.1',
    'torch/lib/libgomp-24e2ab19.so.1.0.0': 'lib/libgomp-24e2ab19.so.1.0.0',
    'torch/include/torch/csrc/stable/c/shim.h': 'include/torch/csrc/stable/c/shim.h',
    'torch/include/torch/csrc/inductor/aoti_torch/c/shim.h': 'include/torch/csrc/inductor/aoti_torch/c/shim.h',
    'torch/include/torch/headeronly/macros/Macros.h': 'include/torch/headeronly/macros/Macros.h',
    'torch/version.py': 'version.py',
    'torch-2.13.0+cpu.dist-info/licenses/LICENSE': 'licenses/LICENSE',
    'torch/lib/libtorch_python.so': undefined,
    'torch/lib/libshm.so': undefined,
    'torch/lib/libjitbackend_test.so': undefined,
    'torch/include/torch/csrc/api/include/torch/nn.h': undefined,
    'torch/nn/functional.py': undefined,
  }
  for (const [entry, place] of Object.entries(places)) assert.is(placeOf(entry), place, entry)
})

find.run()

/** A zip of stored entries. The reader leaves checksums to RECORD, so they are zero. */
function zip(files: Record<string, Buffer>): Buffer {
  const locals: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const [name, content] of Object.entries(files)) {
    const sizes = Buffer.alloc(12)
    sizes.writeUInt32LE(content.length, 4)
    sizes.writeUInt32LE(content.length, 8)
    const common = Buffer.concat([Buffer.from([20, 0, 0, 0, 0, 0, 0, 0, 0, 0]), sizes, Buffer.from([name.length, 0, 0, 0])])
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, Buffer.from(name), content])
    const rest = Buffer.alloc(14)
    rest.writeUInt32LE(offset, 10)
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x00'), common, rest, Buffer.from(name)]))
    locals.push(local)
    offset += local.length
  }
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 'latin1')
  end.writeUInt16LE(locals.length, 8)
  end.writeUInt16LE(locals.length, 10)
  end.writeUInt32LE(Buffer.concat(directory).length, 12)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...locals, ...directory, end])
}

const sha256 = (content: Buffer, encoding: 'hex' | 'base64url') => createHash('sha256').update(content).digest(encoding)

const library = Buffer.alloc(300_000, 'not really a library ')
function fakeWheel(altered = false): { content: Buffer; wheel: Wheel } {
  const files: Record<string, Buffer> = {
    'torch/lib/libtorch_cpu.so': library,
    'torch/lib/libtorch_python.so': Buffer.from('unneeded'),
    'torch/include/torch/csrc/stable/c/shim.h': Buffer.from('#pragma once\n'),
    'torch/version.py': Buffer.from("__version__ = '2.13.0+cpu'\n"),
    'torch-2.13.0+cpu.dist-info/licenses/LICENSE': Buffer.from('BSD'),
  }
  const record = Object.entries(files).map(
    ([name, content]) => `${name},sha256=${sha256(content, 'base64url')},${content.length}\n`,
  )
  if (altered) files['torch/lib/libtorch_cpu.so'] = Buffer.alloc(300_000, 'something else ')
  const content = zip({ ...files, 'torch-2.13.0+cpu.dist-info/RECORD': Buffer.from(record.join('')) })
  return { content, wheel: { file: 'torch-0+fake-py3.whl', sha256: sha256(content, 'hex') } }
}

const { content, wheel } = fakeWheel()
const fetching = isolated('fetch')
let server: Server | undefined
const requests: { url: string; range: string | undefined }[] = []

async function serve(answer: RequestListener) {
  requests.length = 0
  server = createServer((request, response) => {
    requests.push({ url: request.url ?? '', range: request.headers.range })
    answer(request, response)
  }).listen(0, '127.0.0.1')
  await new Promise((listening) => server?.once('listening', listening))
  process.env.CLIP_ES_LIBTORCH_URL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/whl/`
}
fetching.after.each(() => {
  server?.closeAllConnections()
  server?.close()
})

/** A server that knows ranges and, the first `breaks` times, hangs up after a third of what is left. */
const ranged = (body: Buffer, breaks = 0): RequestListener => {
  return (request, response) => {
    const start = Number(request.headers.range?.match(/\d+/)?.[0] ?? 0)
    if (start >= body.length) return void response.writeHead(416).end()
    const rest = body.subarray(start)
    response.writeHead(start ? 206 : 200, { 'content-length': rest.length })
    if (breaks-- > 0) response.write(rest.subarray(0, rest.length / 3), () => setTimeout(() => response.destroy(), 20))
    else response.end(rest)
  }
}

const lines: string[] = []
const options = { say: (line: string) => lines.push(line), wheel }
const unfinished = () =>
  existsSync(cacheFolder()) ? readdirSync(cacheFolder()).filter((name) => /\.(part|tmp)$/.test(name)) : []

/** Where a process that is gone left its unfinished file: no process has this number. */
const abandoned = (name: string, kind: string) => join(cacheFolder(), `${name}.${hostname()}.99999999.${kind}`)

fetching('a whole file is checked, unpacked and put in place, and nothing else stays', async () => {
  await serve(ranged(content))
  lines.length = 0
  assert.is(await fetchLibTorch(options), fetchedFolder())
  assert.is(requests[0]?.url, '/whl/torch-0%2Bfake-py3.whl')
  assert.ok(readFileSync(join(fetchedFolder(), 'lib/libtorch_cpu.so')).equals(library))
  assert.equal(readdirSync(fetchedFolder()).sort(), ['include', 'lib', 'licenses', 'version.py'])
  assert.equal(readdirSync(join(fetchedFolder(), 'lib')), ['libtorch_cpu.so'])
  assert.equal(readdirSync(cacheFolder()), ['libtorch-2.13.0-cpu'])
  assert.equal(findLibTorch(), { folder: fetchedFolder(), source: 'cache', version: '2.13.0+cpu' })
  assert.match(lines.at(-1) ?? '', process.env.CLIP_ES_LIBTORCH_URL ?? '?')
  assert.match(lines.at(-1) ?? '', fetchedFolder())
})

fetching('a connection that breaks is taken up where it broke', async () => {
  await serve(ranged(content, 2))
  await fetchLibTorch(options)
  assert.is(requests.length, 3)
  assert.is(requests[0]?.range, undefined)
  assert.match(requests[2]?.range ?? '', /^bytes=\d+-$/)
  assert.ok(readFileSync(join(fetchedFolder(), 'lib/libtorch_cpu.so')).equals(library))
})

fetching('what an ended process had downloaded is resumed', async () => {
  await serve(ranged(content))
  write(abandoned(wheel.file, 'part'), '')
  writeFileSync(abandoned(wheel.file, 'part'), content.subarray(0, 1000))
  await fetchLibTorch(options)
  assert.equal(
    requests.map(({ range }) => range),
    ['bytes=1000-'],
  )
  assert.equal(unfinished(), [])
})

fetching('a complete leftover needs no further byte', async () => {
  await serve(ranged(content))
  write(abandoned(wheel.file, 'part'), '')
  writeFileSync(abandoned(wheel.file, 'part'), content)
  await fetchLibTorch(options)
  assert.is(requests.length, 1)
})

fetching('the unfinished file of a running process is left alone', async () => {
  await serve(ranged(content))
  const other = join(cacheFolder(), `${wheel.file}.${hostname()}.${process.ppid}.part`)
  write(other, 'its bytes')
  await fetchLibTorch(options)
  assert.equal(
    requests.map(({ range }) => range),
    [undefined],
  )
  assert.is(readFileSync(other, 'utf8'), 'its bytes')
})

fetching('a leftover of another file fails its checksum and is downloaded anew', async () => {
  await serve(ranged(content))
  write(abandoned(wheel.file, 'part'), 'x'.repeat(500))
  await fetchLibTorch(options)
  assert.equal(
    requests.map(({ range }) => range),
    ['bytes=500-', undefined],
  )
  assert.ok(existsSync(fetchedFolder()))
})

fetching('a server without ranges sends all again', async () => {
  await serve((_request, response) => response.end(content))
  write(abandoned(wheel.file, 'part'), 'x'.repeat(500))
  await fetchLibTorch(options)
  assert.ok(existsSync(fetchedFolder()))
})

fetching('a server that always hangs up leaves the part for the next time', async () => {
  await serve(ranged(content, 1000))
  const reason = await rejection(fetchLibTorch(options))
  assert.is(reason.code, 'ERR_LIBTORCH')
  assert.match(reason.message, 'npx clip-es setup')
  assert.is(unfinished().length, 1)
  assert.not(existsSync(fetchedFolder()))
  server?.close()
  await serve(ranged(content))
  await fetchLibTorch(options)
  assert.match(requests[0]?.range ?? '', /^bytes=[1-9]\d+-$/)
})

fetching('a wrong checksum is an error with both checksums, and the file is deleted', async () => {
  const other = Buffer.from('<html>Please log in</html>')
  await serve(ranged(other))
  const reason = await rejection(fetchLibTorch(options))
  assert.match(reason.message, sha256(other, 'hex'))
  assert.match(reason.message, wheel.sha256)
  assert.equal(unfinished(), [])
  assert.not(existsSync(fetchedFolder()))
})

fetching('a file that differs from the RECORD of its wheel is an error, and nothing is put in place', async () => {
  const altered = fakeWheel(true)
  await serve(ranged(altered.content))
  const reason = await rejection(fetchLibTorch({ ...options, wheel: altered.wheel }))
  assert.match(reason.message, 'torch/lib/libtorch_cpu.so')
  assert.not(existsSync(fetchedFolder()))
})

fetching('a missing file names the status and the address', async () => {
  await serve((_request, response) => response.writeHead(404).end())
  const reason = await rejection(fetchLibTorch(options))
  assert.match(reason.message, '404')
  assert.match(reason.message, wheel.file.replace('+', '%2B'))
})

fetching('a server of the user that cannot be reached is an error that names why, and nothing else is asked', async () => {
  process.env.CLIP_ES_LIBTORCH_URL = 'http://127.0.0.1:1'
  assert.match((await rejection(fetchLibTorch(options))).message, /ECONNREFUSED|bad port/)
})

fetching('an unfinished folder that an ended process left is deleted', async () => {
  await serve(ranged(content))
  write(join(abandoned('libtorch-2.13.0-cpu', 'tmp'), 'lib/libtorch_cpu.so'), 'half')
  await fetchLibTorch(options)
  assert.equal(readdirSync(cacheFolder()), ['libtorch-2.13.0-cpu'])
})

fetching('three processes at once all end well with one whole copy', async () => {
  await serve(ranged(content, 2))
  const script = `require('${join(__dirname, '../../ts/setup/fetch.ts')}')
    .fetchLibTorch({ say() {}, wheel: ${JSON.stringify(wheel)} })
    .catch((error) => { console.error(error); process.exit(1) })`
  const run = () =>
    new Promise<number | null>((done) => {
      spawn(process.execPath, ['--import', 'tsx', '-e', script], { stdio: 'inherit' }).on('close', done)
    })
  assert.equal(await Promise.all([run(), run(), run()]), [0, 0, 0])
  assert.ok(readFileSync(join(fetchedFolder(), 'lib/libtorch_cpu.so')).equals(library))
  assert.equal(readdirSync(cacheFolder()), ['libtorch-2.13.0-cpu'])
})

fetching('an unsupported platform is named, with what to do', async () => {
  const arch = Object.getOwnPropertyDescriptor(process, 'arch') as PropertyDescriptor
  Object.defineProperty(process, 'arch', { ...arch, value: 'arm64' })
  try {
    const reason = await rejection(fetchLibTorch(options))
    assert.match(reason.message, 'linux-arm64')
    assert.match(reason.message, 'CLIP_ES_LIBTORCH')
  } finally {
    Object.defineProperty(process, 'arch', arch)
  }
})

fetching.run()
