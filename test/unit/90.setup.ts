// Finding a LibTorch, and which device uses it.
import { chmodSync, readdirSync } from 'node:fs'
import { homedir, hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { loadFailure } from '../../cli/src/setup/loads.js'
import { removeLeftovers, unfinishedPath } from '../../cli/src/setup/own_files.js'
import { pythonTorch } from '../../cli/src/setup/python.js'
import { ClipEsError } from '../../ts/core/errors.js'
import { installedCudaFolder, installedLibTorch, isTooOld, libTorchFor, readVersion } from '../../ts/libtorch/find.js'
import { cacheFolder, cudaFolder, oldCpuFolder, pythonRecord } from '../../ts/libtorch/paths.js'
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

const find = isolated('find')

find('the cache is $CLIP_ES_CACHE, else $XDG_CACHE_HOME/clip-es unless relative, else ~/.cache/clip-es', () => {
  assert.is(cacheFolder(), join(folder, 'cache'))
  delete process.env.CLIP_ES_CACHE
  process.env.XDG_CACHE_HOME = '/xdg'
  assert.is(cacheFolder(), '/xdg/clip-es')
  process.env.XDG_CACHE_HOME = 'xdg'
  assert.is(cacheFolder(), join(homedir(), '.cache/clip-es'))
})

find(
  "$CLIP_ES_LIBTORCH comes before set-up's CUDA build, that before a CPU build in the cache, that before a recorded Python",
  () => {
    assert.is(installedLibTorch(), undefined)
    const python = fakeLibTorch(join(folder, 'python/torch'), '2.12.1')
    recordPython(python)
    assert.equal(installedLibTorch(), { folder: python, source: 'python', version: '2.12.1' })
    fakeLibTorch(oldCpuFolder())
    assert.equal(installedLibTorch(), { folder: oldCpuFolder(), source: 'cache', version: '2.13.0+cpu' })
    fakeLibTorch(cudaFolder(), '2.14.1+cu130', true)
    assert.equal(installedLibTorch(), { folder: cudaFolder(), source: 'cache', version: '2.14.1+cu130' })
    process.env.CLIP_ES_LIBTORCH = fakeLibTorch(join(folder, 'own'), '2.14.0')
    assert.equal(installedLibTorch(), { folder: join(folder, 'own'), source: 'environment', version: '2.14.0' })
  },
)

find('a wrong $CLIP_ES_LIBTORCH is an error that names it, and no other LibTorch replaces it', () => {
  fakeLibTorch(oldCpuFolder())
  process.env.CLIP_ES_LIBTORCH = join(folder, 'nothing')
  assert.throws(installedLibTorch, error('ERR_LIBTORCH', join(folder, 'nothing'), 'npx clip-es setup --cuda'))
})

find('a recorded torch that is gone, and a damaged record, count as none', () => {
  recordPython(join(folder, 'gone/torch'))
  assert.is(installedLibTorch(), undefined)
  for (const content of ['', '{"folder": ', 'null', '[]', '{"folder": 3}']) {
    write(pythonRecord(), content)
    assert.is(installedLibTorch(), undefined)
  }
})

find('a folder that holds only libraries is accepted; its version comes from the folder above, if it is there', () => {
  const libraries = join(fakeLibTorch(join(folder, 'own')), 'lib')
  process.env.CLIP_ES_LIBTORCH = libraries
  assert.equal(installedLibTorch(), { folder: libraries, source: 'environment', version: '2.13.0+cpu' })
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

find('a CPU without AMX uses no LibTorch, and is not asked about AMX in float32', () => {
  process.env.CLIP_ES_LIBTORCH = fakeLibTorch(join(folder, 'own'))
  const never = () => {
    throw new Error('asked')
  }
  assert.is(libTorchFor({ device: 'cpu', precision: 'float32' }, never), '')
  assert.is(
    libTorchFor({ device: 'cpu', precision: 'bfloat16' }, () => false),
    '',
  )
  assert.is(
    libTorchFor({ device: 'cpu', precision: 'int8' }, () => false),
    '',
  )
})

find('a CPU with AMX uses the LibTorch that is there for bfloat16 and int8; none or a wrong variable is no error', () => {
  const amx = (precision: 'bfloat16' | 'int8') => libTorchFor({ device: 'cpu', precision }, () => true)
  assert.is(amx('bfloat16'), '')
  process.env.CLIP_ES_LIBTORCH = join(folder, 'nothing')
  assert.is(amx('bfloat16'), '')
  process.env.CLIP_ES_LIBTORCH = fakeLibTorch(join(folder, 'own'))
  assert.is(amx('bfloat16'), join(folder, 'own'))
  assert.is(amx('int8'), join(folder, 'own'))
})

find("device 'cuda' needs a LibTorch: without one the error names the device and setup --cuda", () => {
  const cuda = () => libTorchFor({ device: 'cuda:1', precision: 'float32' }, () => false)
  assert.throws(cuda, error('ERR_LIBTORCH', "device 'cuda:1' needs a CUDA build", 'npx clip-es setup --cuda', "device 'cpu'"))
  recordPython(join(folder, 'gone/torch'))
  assert.throws(cuda, error('ERR_LIBTORCH', join(folder, 'gone/torch'), 'npx clip-es setup --cuda'))
  process.env.CLIP_ES_LIBTORCH = join(folder, 'nothing')
  assert.throws(cuda, error('ERR_LIBTORCH', join(folder, 'nothing'), 'unset it'))
  process.env.CLIP_ES_LIBTORCH = fakeLibTorch(join(folder, 'own'), '2.14.1+cu130', true)
  assert.is(cuda(), join(folder, 'own'))
})

find('only a CUDA build makes the kernels for GPUs; a wrong variable does not stop the build', () => {
  assert.is(installedCudaFolder(), undefined)
  process.env.CLIP_ES_LIBTORCH = fakeLibTorch(join(folder, 'cpu'))
  assert.is(installedCudaFolder(), undefined)
  process.env.CLIP_ES_LIBTORCH = join(folder, 'nothing')
  assert.is(installedCudaFolder(), undefined)
  process.env.CLIP_ES_LIBTORCH = fakeLibTorch(join(folder, 'cuda'), '2.14.1+cu130', true)
  assert.is(installedCudaFolder(), join(folder, 'cuda'))
})

find('unfinished folders of ended processes are deleted, those of running processes and other machines are kept', () => {
  const kept = [
    `libtorch.${hostname()}.${process.ppid}.tmp`,
    'libtorch.another-machine.99999999.tmp',
    `libtorch.${hostname()}.99999999.other`,
  ]
  for (const name of [...kept, `libtorch.${hostname()}.99999999.tmp`]) write(join(cacheFolder(), name, 'file'), '') // no process has this number
  removeLeftovers()
  assert.equal(readdirSync(cacheFolder()).sort(), kept.sort())
  assert.is(unfinishedPath('libtorch'), join(cacheFolder(), `libtorch.${hostname()}.${process.pid}.tmp`))
})

find.run()
