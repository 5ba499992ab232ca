// What the doctor says of the computer, of variables and of folders, on machines of every kind.
import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import detectLibc from 'detect-libc'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cpuCheck, cpuFlags, memoryCheck, nodeCheck, platformCheck } from '../../cli/src/doctor/machine.js'
import { chosenModelCheck, embeddedModelCheck, untriedCheck } from '../../cli/src/doctor/model.js'
import { cacheCheck, environmentCheck, gpuCheck, sharpCheck } from '../../cli/src/doctor/surroundings.js'
import { defaultThreads } from '../../ts/support/index.js'
import { having, onCpu, withAddon, withTrial } from './machine_support.js'
import { fakeLibTorch, folder, isolate, write } from './setup_support.js'
import { root } from './support.js'

isolate(test)

const engines = (file: string): string => JSON.parse(fs.readFileSync(join(root, file), 'utf8')).engines.node

test('the Node.js that runs this is supported', () => {
  const { status, detail } = nodeCheck()
  assert.equal([status, detail], ['ok', `${process.versions.node} at ${process.execPath}`])
})

test('the first and later versions of each supported line are ok, and earlier ones and other lines are wrong', () => {
  const range = '^20.19.0 || ^22.12.0 || >=24.0.0'
  for (const version of ['20.19.0', '20.19.1', '20.20.2', '22.12.0', '22.100.0', '24.0.0', '24.9.1', '25.0.0', '100.0.0'])
    assert.is(nodeCheck(version, range).status, 'ok', version)
  for (const version of ['0.12.18', '18.20.8', '20.9.0', '20.18.3', '21.7.3', '22.0.0', '22.11.0', '22.2.99', '23.11.1'])
    assert.is(nodeCheck(version, range).status, 'wrong', version)
})

test('an unsupported version is named with the range and the remedy', () => {
  assert.equal(nodeCheck('21.7.3', '^20.19.0 || ^22.12.0 || >=24.0.0'), {
    name: 'Node.js',
    status: 'wrong',
    detail: '21.7.3 is not supported: clip-es needs ^20.19.0 || ^22.12.0 || >=24.0.0',
    remedy: 'install Node.js 20.19.0, 22.12.0, or 24.0.0, or a later version with the same first number',
    values: { package: JSON.parse(fs.readFileSync(join(root, 'package.json'), 'utf8')).version, node: '21.7.3' },
  })
})

test('the range is the one of package.json, which the packages share', () => {
  assert.match(nodeCheck('0.1.0').detail, `clip-es needs ${engines('package.json')}`)
  assert.is(engines('cli/package.json'), engines('package.json'))
})

test('a range with another operator is an error, not a pass', () => {
  assert.throws(() => nodeCheck('20.19.0', '20.x'), "'20.x' in the range '20.x' is not ^1.2.3 or >=1.2.3")
})

test('what the doctor says of each platform', () => {
  const on = (platform: string, arch: string, glibc?: string) => {
    const libc = { familySync: () => (glibc ? 'glibc' : platform === 'linux' ? 'musl' : null), versionSync: () => glibc }
    return having(process, { platform, arch }, () => having(detectLibc, libc, platformCheck))
  }
  const expected: [args: Parameters<typeof on>, status: string, detail: string, remedy?: string][] = [
    [['linux', 'x64', '2.28'], 'ok', 'linux x64, glibc 2.28'],
    [['linux', 'x64', '2.100'], 'ok', 'linux x64, glibc 2.100'],
    [
      ['linux', 'x64', '2.27'],
      'warning',
      'linux x64, glibc 2.27',
      "the CPU works; for device 'cuda' LibTorch's builds need glibc 2.28: use a newer system",
    ],
    [['linux', 'arm64', '2.39'], 'warning', 'linux arm64, glibc 2.39', 'this version is tested only on x64; run npm test'],
    [['linux', 'x64'], 'wrong', 'linux x64, not glibc', 'use a system with glibc, such as Debian, Ubuntu or Fedora'],
    [['win32', 'x64'], 'ok', 'win32 x64'],
    [['win32', 'arm64'], 'wrong', 'win32 arm64', 'use Linux, macOS, or Windows on x64: this version is for no other system'],
    [['darwin', 'x64'], 'warning', 'darwin x64', 'nobody has tested this version on macOS yet: run npx clip-es demo first'],
    [['freebsd', 'x64'], 'wrong', 'freebsd x64', 'use Linux, macOS, or Windows on x64: this version is for no other system'],
  ]
  for (const [args, status, detail, remedy] of expected) {
    const [platform, arch, glibc] = args
    const values = { platform, arch, glibc }
    assert.equal(on(...args), { name: 'platform', status, detail, ...(remedy && { remedy }), values }, args.join(' '))
  }
})

test('the CPU is named with the extensions that make a difference, and one without AVX2 is a warning', () => {
  const every = 'fpu avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 asimddp bf16 i8mm ssse3'
  const names = ['AVX2', 'AVX-512', 'AVX-512 VNNI', 'AVX-512 bf16', 'AMX bf16', 'dot products', 'bf16', 'i8mm']
  const model = os.cpus()[0]?.model.trim() ?? ''
  const [cores, threads] = [defaultThreads(), os.cpus().length]
  const start = `${model}, ${cores} cores used by default, ${threads} threads`
  const values = { model, cores, threads }
  assert.equal(onCpu(`processor : 0\nflags\t\t: ${every}\n\n`, 'x64', cpuCheck), {
    ...{ name: 'CPU', status: 'ok', detail: `${start}; ${names.join(', ')}` },
    values: { ...values, extensions: names },
  })
  assert.equal(onCpu('flags\t: fpu sse2\n', 'x64', cpuCheck), {
    ...{ name: 'CPU', status: 'warning', detail: `${start}; no AVX2` },
    remedy: 'without AVX2 everything works, many times slower: use a CPU made after 2013',
    values: { ...values, extensions: [] },
  })
  assert.equal([...onCpu('Features : fp asimd\n', 'arm64', cpuFlags)], ['fp', 'asimd'])
  const arm = onCpu('Features : fp asimd\n', 'arm64', cpuCheck)
  assert.equal([arm.status, arm.detail], ['ok', `${start}; no dot products`])
  for (const info of [undefined, 'processor : 0\n']) {
    const unknown = onCpu(info, 'x64', cpuCheck)
    assert.equal([unknown.status, unknown.detail], ['ok', start])
  }
  const nameless = having(os, { cpus: () => [{ model: '  ' }] }, () => onCpu(undefined, 'x64', cpuCheck))
  assert.equal(nameless.detail, `unknown model, ${cores} cores used by default, 1 threads`)
})

test('memory is what the process may use, and less than 2 GB available is a warning', () => {
  const check = (limit: number, total: number, available: number) =>
    having(process, { constrainedMemory: () => limit, availableMemory: () => available }, () =>
      having(os, { totalmem: () => total }, memoryCheck),
    )
  assert.equal(check(4.05e9, 64e9, 2e9), {
    ...{ name: 'memory', status: 'ok', detail: '4.0 GB, 2.0 GB available' },
    values: { total: 4.05e9, available: 2e9 },
  })
  assert.equal(check(0, 64e9, 1.99e9), {
    ...{ name: 'memory', status: 'warning', detail: '64.0 GB, 2.0 GB available' },
    remedy: 'close other programs, or use a smaller model and a smaller --max-side',
    values: { total: 64e9, available: 1.99e9 },
  })
  assert.is(check(2 ** 63, 64e9, 3e9).values?.total, 64e9, 'no limit')
})

test('variables are listed, and each unknown one is named with the remedy', () => {
  const check = (env: Record<string, string>) => having(process, { env: { PATH: 'x', ...env } }, environmentCheck)
  assert.equal(check({ CLIP_ES_MODEL: '' }), {
    ...{ name: 'variables', status: 'ok', detail: 'no CLIP_ES_… variable is set', values: {} },
  })
  const product = ['MODEL', 'LIBTORCH', 'CACHE', 'CUDA', 'CPU']
  const ofTests = ['DATA', 'GOLDEN_FULL', 'SECOND_LIBTORCH', 'TEST_PYTHON', 'WERROR']
  const known = Object.fromEntries([...product, ...ofTests].map((name) => [`CLIP_ES_${name}`, name]))
  const detail = Object.entries(known).map((entry) => entry.join('='))
  assert.equal(check(known), { name: 'variables', status: 'ok', detail: detail.join(' '), values: known })
  assert.equal(check({ CLIP_ES_CASHE: '1', CLIP_ES_XYLOPHONE: '2' }), {
    ...{ name: 'variables', status: 'warning', detail: 'CLIP_ES_CASHE=1 CLIP_ES_XYLOPHONE=2' },
    remedy: 'clip-es does not know CLIP_ES_CASHE; did you mean CLIP_ES_CACHE?; clip-es does not know CLIP_ES_XYLOPHONE: unset it',
    values: { CLIP_ES_CASHE: '1', CLIP_ES_XYLOPHONE: '2' },
  })
})

test('sharp is wrong if it lacks a format', () => {
  const sharp = require('sharp') as typeof import('sharp')
  const values = { version: sharp.versions.sharp, libvips: sharp.versions.vips }
  const all = ['JPEG', 'PNG', 'WebP', 'AVIF', 'TIFF']
  const version = `${values.version} with libvips ${values.libvips}`
  assert.equal(sharpCheck(), {
    ...{ name: 'sharp', status: 'ok', detail: `${version}: ${all.join(', ')}`, values: { ...values, formats: all } },
  })
  const { heif: _, ...format } = sharp.format
  const webp = { ...sharp.format.webp, input: { buffer: false } }
  assert.equal(having(sharp, { format: { ...format, webp } }, sharpCheck), {
    ...{ name: 'sharp', status: 'wrong', detail: `${version}: JPEG, PNG, TIFF; not WebP, AVIF` },
    remedy: 'install it again: npm install --include=optional sharp',
    values: { ...values, formats: ['JPEG', 'PNG', 'TIFF'] },
  })
})

test('the cache is its size in MB, or does not exist yet, or cannot be used', () => {
  const cache = process.env.CLIP_ES_CACHE as string
  assert.equal(cacheCheck(), {
    ...{ name: 'cache', status: 'ok', detail: `${cache}, which does not exist yet`, values: { folder: cache, bytes: 0 } },
  })
  write(join(cache, 'a/b'), 'x')
  fs.truncateSync(join(cache, 'a/b'), 9_949_999) // takes no place on the disk
  fs.symlinkSync(join(cache, 'a/b'), join(cache, 'link'))
  assert.equal(cacheCheck().detail, `${cache}, 9.9 MB`)
  fs.truncateSync(join(cache, 'a/b'), 10_000_000)
  assert.equal(cacheCheck(), {
    ...{ name: 'cache', status: 'ok', detail: `${cache}, 10 MB`, values: { folder: cache, bytes: 10_000_000 } },
  })
  process.env.CLIP_ES_CACHE = join(cache, 'a/b/c')
  const accessSync = (path: string, mode: number) => {
    throw new Error(`no access to ${path} in mode ${mode}`)
  }
  assert.equal(having(fs, { accessSync }, cacheCheck), {
    ...{ name: 'cache', status: 'warning', remedy: 'set CLIP_ES_CACHE to a folder that you may write' },
    detail: `${cache}/a/b/c cannot be used (no access to ${cache}/a/b in mode ${fs.constants.W_OK})`,
    values: { folder: `${cache}/a/b/c` },
  })
})

test('GPUs are what nvidia-smi lists; without it, or if it fails, the CPU is used', () => {
  const lacking = "device 'cuda' lacks its kernels (libclip_es_cuda.so) and a CUDA build of LibTorch (npx clip-es setup --cuda)"
  const { existsSync } = fs
  const check = (run: object, kernels = false) =>
    withTrial(run, (calls) => {
      const exists = (path: string) => (path.endsWith('libclip_es_cuda.so') ? kernels : existsSync(path))
      const found = withAddon(join(folder, 'clip_es.node'), () => having(fs, { existsSync: exists }, gpuCheck))
      const query = ['--query-gpu=name,driver_version,memory.total', '--format=csv,noheader']
      assert.equal(calls, [['nvidia-smi', query, { encoding: 'utf8', timeout: 20_000 }]])
      return found
    })
  const parts = { kernels: false, libtorch: false }
  assert.equal(check({ error: new Error('ENOENT') }), {
    ...{ name: 'GPU', status: 'ok', detail: "none found (no nvidia-smi); device 'auto' uses the CPU" },
    values: { gpus: [], ...parts },
  })
  assert.equal(check({ status: 9, stdout: '\nno driver\nmore\n' }), {
    ...{ name: 'GPU', status: 'warning', detail: 'nvidia-smi fails: no driver' },
    remedy: "the CPU works; repair the driver to use device 'cuda'",
    values: { gpus: [], ...parts },
  })
  assert.is(check({ status: 0, stdout: 'No devices were found\n' }).detail, `none; ${lacking}`)
  process.env.CLIP_ES_LIBTORCH = fakeLibTorch(join(folder, 'cuda'), '2.14.1+cu130', true)
  assert.equal(check({ stdout: 'H100, 570.1, 80 MiB\nT4, 550.2, 15 MiB\n' }, true), {
    ...{ name: 'GPU', status: 'ok' },
    detail: "H100, 80 MiB, driver 570.1; T4, 15 MiB, driver 550.2; device 'cuda' can be used",
    values: {
      gpus: [
        { model: 'H100', driver: '570.1', memory: '80 MiB' },
        { model: 'T4', driver: '550.2', memory: '15 MiB' },
      ],
      ...{ kernels: true, libtorch: true },
    },
  })
})

test('a model that ends its process, or its masks that are wrong, are named with the remedy', () => {
  const check = (run: object) => withTrial(run, embeddedModelCheck)
  const remedy =
    'install clip-es again, in a checkout run npm run build:native -- --force; if that does not help, report it with the output of npx clip-es doctor --json'
  for (const [run, reason] of [
    [{ error: new Error('spawn EAGAIN') }, 'spawn EAGAIN'],
    [{ status: null, signal: 'SIGSEGV' }, 'trying it ended with SIGSEGV'],
    [{ status: 7, stderr: '\n first line\nmore\n' }, 'trying it ended with status 7: first line'],
    [{ stdout: '{"error":"no scenes"}' }, 'no scenes'],
  ] as const)
    assert.equal(check(run), {
      ...{ name: 'engine', status: 'wrong', detail: `the embedded model does not work: ${reason}`, remedy },
    })
  const trial = (iou: number) => ({
    ...{ model: {}, milliseconds: 12 },
    objects: [
      { label: 'cat', iou, reference: 0.9 },
      { label: 'dog', iou: 0.8, reference: 0.8 },
    ],
  })
  assert.equal(check({ stdout: JSON.stringify(trial(0.9099)) }), {
    ...{ name: 'engine', status: 'ok', values: trial(0.9099) },
    detail: "a scene's masks are right (IoU cat 0.910, dog 0.800) in 12 ms, loading included",
  })
  for (const iou of [0.889, 0.911])
    assert.equal(check({ stdout: JSON.stringify(trial(iou)) }), {
      ...{ name: 'engine', status: 'wrong', remedy, values: trial(iou) },
      detail: `a scene's masks are wrong: IoU cat ${iou.toFixed(3)}, dog 0.800; expected cat 0.900`,
    })
  assert.equal(untriedCheck(), {
    ...{ name: 'engine', status: 'warning', detail: 'not tried', remedy: 'first correct what is wrong above' },
  })
})

test("the model of $CLIP_ES_MODEL is tried in a process of its own, with three minutes' time", () => {
  const model = { patch: 16, width: 768, layers: 12, precision: 'float32' }
  const check = (path: string, run: object, args: string[] = [path]) =>
    withTrial(run, (calls) => {
      const found = having(process, { env: { CLIP_ES_MODEL: path } }, chosenModelCheck)
      const program = join(root, 'cli/src/doctor/try_model.js')
      const options = { encoding: 'utf8', timeout: 180_000, killSignal: 'SIGKILL' }
      assert.equal(calls, args.length ? [[process.execPath, [program, ...args], options]] : [])
      return found
    })
  assert.equal(check('', {}, []), {
    ...{ name: 'model', status: 'ok' },
    detail: 'the embedded one, which knows emoji scenes and not photographs (CLIP_ES_MODEL is not set)',
  })
  const trial = { model, objects: [], milliseconds: 3 }
  assert.equal(check('/m.pt', { stdout: JSON.stringify(trial) }), {
    ...{ name: 'model', status: 'ok', values: trial },
    detail: '/m.pt: ViT of 12 blocks of width 768, patches of 16 pixels, float32; it loads',
  })
  assert.equal(check('/m.pt', { stdout: '{"error":"no archive"}' }), {
    ...{ name: 'model', status: 'wrong', detail: 'no archive' },
    remedy: 'point CLIP_ES_MODEL to a CLIP-ViT archive, such as ViT-B-16.pt, or unset it',
  })
})

test.run()
