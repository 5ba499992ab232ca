// Finding what the training program needs, and building it, with stand-ins for CMake, the compiler and Python.
import { chmodSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { missingParts, trainProgram } from '../../cli/src/train/build.js'
import { findLibTorch, resolveDevice } from '../../cli/src/train/libtorch.js'
import { fakeLibTorch, folder, isolate, write } from './setup_support.js'
import { root } from './support.js'

const build = isolate(suite('build'))
const header = 'include/torch/csrc/api/include/torch/torch.h'
const variables = [
  'CXX',
  'CLIP_ES_TRAIN_PROGRAM',
  'FAKE_LACKS',
  'FAKE_CMAKE',
  'CMAKE_BUILD_PARALLEL_LEVEL',
  'CLIP_ES_CACHE',
] as const
const saved = Object.fromEntries(variables.map((name) => [name, process.env[name]]))
const { error } = console
const complaints: string[] = []
const never = new AbortController().signal

build.before.each(() => {
  for (const name of variables) if (name !== 'CLIP_ES_CACHE') delete process.env[name]
  process.env.PATH = join(folder, 'bin')
  complaints.length = 0
  console.error = (line: string) => complaints.push(line)
})
build.after.each(() => {
  console.error = error
  for (const name of variables) {
    const value = saved[name]
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
})

function program(name: string, script: string): string {
  const file = join(folder, 'bin', name)
  write(file, script)
  chmodSync(file, 0o755)
  return file
}

/** A compiler that finds all headers but those of $FAKE_LACKS. */
const compiler = (name: string) =>
  program(
    name,
    `#!/bin/sh
[ "$1" = --version ] && exit 0
[ "$*" = "-fsyntax-only -x c++ -" ] || exit 9
text=$(/bin/cat)
for header in $FAKE_LACKS; do case "$text" in "#include <cstdio>
#include <$header>") exit 1; esac; done
`,
  )

/** CMake: writes down what it is asked, and does what $FAKE_CMAKE says. */
const cmake = () =>
  program(
    'cmake',
    `#!/bin/sh
[ "$1" = --version ] && exit 0
echo "$@" >> ${folder}/asked
case "$FAKE_CMAKE" in
  fail) i=0; while [ $i -lt 40 ]; do i=$((i+1)); [ $i = 20 ] && echo "an Error is here" || echo "line $i"; done; exit 3;;
  silent) i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo "line $i" >&2; done; exit 4;;
  slow) exec /bin/sleep 60;;
  nothing) exit 0;;
esac
[ "$1" = --build ] && echo the program > "$2/clip_es_train"
exit 0
`,
  )

function libTorch(version = '2.14.0', name = 'torch'): string {
  const at = fakeLibTorch(join(folder, name), version)
  write(join(at, header), '')
  process.env.CLIP_ES_LIBTORCH = at
  return at
}

const cache = () => (existsSync(join(folder, 'cache')) ? readdirSync(join(folder, 'cache')) : [])
const asked = () => readFileSync(join(folder, 'asked'), 'utf8').trim().split('\n')
const reason = async (promise: Promise<unknown>) =>
  await promise.then(
    () => 'it resolves',
    ({ code, message }) => (code ? `${code} ${message}` : message),
  )

build('everything that is missing is told at once, and what is there is not', async () => {
  const libtorch = libTorch()
  assert.equal(missingParts(), ['cmake', 'a C++ compiler (c++, g++, clang++ or $CXX)'])
  cmake()
  for (const name of ['clang++', 'g++', 'c++', 'own']) {
    if (name === 'own') {
      program('c++', '#!/bin/sh\nexit 1\n')
      process.env.CXX = 'own'
    }
    const file = compiler(name)
    assert.equal(missingParts(), [], name)
    process.env.FAKE_LACKS = 'jpeglib.h png.h'
    assert.equal(missingParts(), ['the headers of libjpeg', 'the headers of libpng'])
    process.env.FAKE_LACKS = 'png.h'
    assert.equal(missingParts(), ['the headers of libpng'])
    delete process.env.FAKE_LACKS
    program(name, '#!/bin/sh\nexit 1\n')
    assert.ok(existsSync(file))
  }
  process.env.CLIP_ES_LIBTORCH = fakeLibTorch(join(folder, 'bare'), '2.14.0')
  compiler('c++')
  process.env.FAKE_LACKS = 'jpeglib.h'
  assert.is(
    await reason(trainProgram(never)),
    `ERR_LIBTORCH the training program is built on its first use, and this machine lacks the headers of LibTorch (${folder}/bare has no ${header}); ` +
      'the headers of libjpeg. On Debian or Ubuntu: apt-get install cmake g++ libjpeg-dev libpng-dev. LibTorch: python3 -m pip install torch, ' +
      'or point CLIP_ES_LIBTORCH to the folder of a LibTorch that has include/ and lib/. Then run the same command again',
  )
  assert.equal(cache(), [])
  assert.ok(libtorch)
})

build('the LibTorch is that of the engine, else that of the Python on PATH, and not too old', () => {
  const at = libTorch('2.11.0')
  assert.equal(findLibTorch(), { folder: at, version: '2.11.0' })
  libTorch('2.10.1')
  assert.equal(findLibTorch(), { missing: `LibTorch 2.11 or newer (${at} has 2.10.1)` })
  delete process.env.CLIP_ES_LIBTORCH
  assert.equal(findLibTorch(), { missing: 'LibTorch (none is set up, and there is no python3 on PATH)' })
  libTorch('2.12.0', 'python/torch')
  delete process.env.CLIP_ES_LIBTORCH
  program('python3', `#!/bin/sh\necho torch at ${folder}/python/torch\n`)
  assert.equal(findLibTorch(), { folder: `${folder}/python/torch`, version: '2.12.0' })
})

build('auto is a GPU only where LibTorch has CUDA, and cuda is the first GPU', () => {
  const without = { folder: fakeLibTorch(join(folder, 'cpu')), version: '' }
  for (const [device, resolved] of [
    ['cuda', 'cuda:0'],
    ['cuda:1', 'cuda:1'],
    ['cpu', 'cpu'],
    ['auto', 'cpu'],
  ] as const)
    assert.is(resolveDevice(device, without), resolved)
  const cuda = { folder: fakeLibTorch(join(folder, 'cuda'), '2.14.0', true), version: '' }
  assert.is(resolveDevice('auto', cuda), existsSync('/dev/nvidia0') ? 'cuda:0' : 'cpu')
})

build('$CLIP_ES_TRAIN_PROGRAM is used as it is, with or without a LibTorch', async () => {
  const file = program('own', '')
  process.env.CLIP_ES_TRAIN_PROGRAM = file
  assert.equal(await trainProgram(never), { file, libtorch: { folder: '', version: 'unknown' } })
  const at = libTorch()
  assert.equal(await trainProgram(never), { file, libtorch: { folder: at, version: '2.14.0' } })
  process.env.CLIP_ES_TRAIN_PROGRAM = join(folder, 'none')
  assert.is(
    await reason(trainProgram(never)),
    `ERR_LIBTORCH CLIP_ES_TRAIN_PROGRAM is ${folder}/none, which is not there; unset it, so that the program is built`,
  )
})

build('it is built once for a LibTorch, and nothing else is left in the cache', async () => {
  const libtorch = { folder: libTorch(), version: '2.14.0' }
  cmake()
  compiler('c++')
  process.env.CMAKE_BUILD_PARALLEL_LEVEL = '7'
  const { file, ...rest } = await trainProgram(never)
  assert.equal(rest, { libtorch })
  const [, name = ''] = /cache\/(train-[0-9a-f]{16})\/clip_es_train$/.exec(file) ?? []
  assert.equal([cache(), readdirSync(join(folder, 'cache', name))], [[name], ['clip_es_train']])
  assert.is(readFileSync(file, 'utf8'), 'the program\n')
  assert.is(statSync(file).mode & 0o777, 0o755)
  assert.equal(complaints, [
    `clip-es: building the training program for LibTorch 2.14.0 (${libtorch.folder}); this takes a few minutes, once`,
  ])
  const [configure = '', make = '', ...more] = asked()
  const [, at = ''] =
    /^-S \S+\/cpp\/train -B (\S+) -DCMAKE_BUILD_TYPE=Release -DCLIP_ES_LIBTORCH=\S+\/torch$/.exec(configure) ?? []
  assert.match(configure, `-S ${join(root, 'cpp/train')} `)
  assert.match(at, /\/cache\/train-[0-9a-f]{16}\.\S+\.\d+\.tmp\/build$/)
  assert.equal([make, more], [`--build ${at} --target clip_es_train --parallel 7`, []])
  assert.equal(await trainProgram(never), { file, libtorch })
  assert.is(asked().length, 2, 'the second time it is there')
  delete process.env.CMAKE_BUILD_PARALLEL_LEVEL
  libTorch('2.15.0')
  const other = await trainProgram(never)
  assert.not.equal(other.file, file)
  assert.is(cache().length, 2)
  assert.match(asked().at(-1) as string, / --parallel [1-9]\d*$/)
})

build('a build that fails shows what the compiler says from its first error on, and leaves nothing', async () => {
  libTorch()
  cmake()
  compiler('c++')
  const failed = async () => {
    const message = await reason(trainProgram(never))
    assert.equal(cache(), [])
    return message.split('\n')
  }
  process.env.FAKE_CMAKE = 'fail'
  const [first, ...lines] = await failed()
  assert.match(
    first as string,
    /^ERR_LIBTORCH the training program could not be built \(cmake -S \S+ -B \S+ \S+ \S+ ended with status 3\); the compiler says:$/,
  )
  assert.is(lines.length, 15)
  assert.equal([lines[0], lines[14]], ['an Error is here', 'line 34'])
  process.env.FAKE_CMAKE = 'silent'
  const [, ...last] = await failed()
  assert.equal([last.length, last[0], last[14]], [15, 'line 6', 'line 20'])
  process.env.FAKE_CMAKE = 'nothing'
  assert.match(
    (await failed())[0] as string,
    /^ERR_LIBTORCH the training program could not be put into \S+\/cache\/train-\w+: ENOENT/,
  )
})

build('a build that is stopped ends with the reason, and leaves nothing', async () => {
  libTorch()
  cmake()
  compiler('c++')
  process.env.FAKE_CMAKE = 'slow'
  const stop = new AbortController()
  const building = reason(trainProgram(stop.signal))
  while (!existsSync(join(folder, 'asked'))) await new Promise((wake) => setTimeout(wake, 10))
  stop.abort(new Error('stopped'))
  assert.is(await building, 'stopped')
  assert.equal(cache(), [])
})

build.run()
