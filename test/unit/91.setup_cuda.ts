import { chmodSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fetchCudaLibTorch } from '../../cli/src/setup/fetch_cuda.js'
import { unfinishedPath } from '../../cli/src/setup/own_files.js'
import { setup } from '../../cli/src/setup/setup.js'
import { installedLibTorch } from '../../ts/libtorch/find.js'
import { cacheFolder, cudaFolder, cudaVersion, oldCpuFolder, pythonRecord } from '../../ts/libtorch/paths.js'
import { having } from './machine_support.js'
import { fakeLibTorch, folder, isolate, write } from './setup_support.js'
import { rejects } from './support.js'

isolate(test)

/** A python3 whose pip puts `site` where it is told to, and a note of what else it was asked for. */
function fakePip(cuda: boolean, ending = 'exit 0') {
  const site = join(folder, 'site')
  fakeLibTorch(join(site, 'torch'), `${cudaVersion}+cu130`, cuda)
  for (const file of ['torch/include/torch/csrc/stable/c/shim.h', 'torch/_dynamo/code.py', 'functorch/code.py', 'bin/torchrun'])
    write(join(site, file), file)
  const metadata = [
    'Name: torch',
    'Requires-Dist: sympy>=1.13.3',
    'Requires-Dist: cuda-toolkit[cublas,cudart]==13.0.3; platform_system == "Linux"',
    'Requires-Dist: nvidia-cudnn-cu13==9.24.0.43; platform_system == "Linux"',
    'Requires-Dist: triton~=3.8.0; platform_system == "Linux"',
  ]
  write(join(site, `torch-${cudaVersion}.dist-info/METADATA`), `${metadata.join('\n')}\n`)
  const python = join(folder, 'bin/python3')
  write(
    python,
    `#!/bin/sh
echo "$@" >> ${join(folder, 'calls')}
case "$1" in --version) echo Python 3; exit;; -c) echo 'torch at '; exit;; esac
while [ "$1" != --target ]; do shift; done
target=$2; shift 2
case "$*" in
  *torch==*) cp -r ${site}/. "$target" ;;
  *) mkdir "$target/nvidia"; echo "$*" > "$target/nvidia/asked" ;;
esac
${ending}
`,
  )
  chmodSync(python, 0o755)
  process.env.PATH = `${dirname(python)}:/usr/bin:/bin`
}

test("pip's CUDA build is in the cache with only its libraries, and is found before the CPU build", async () => {
  fakePip(true)
  const cpu = fakeLibTorch(oldCpuFolder())
  assert.is(installedLibTorch()?.folder, cpu)
  const said: string[] = []
  const listeners = process.listenerCount('exit')
  assert.is(await fetchCudaLibTorch({ say: (line) => said.push(line), quiet: true }), cudaFolder())
  assert.equal(installedLibTorch(), { folder: cudaFolder(), source: 'cache', version: `${cudaVersion}+cu130` })
  const top = dirname(cudaFolder())
  assert.equal(readdirSync(top).sort(), ['nvidia', 'torch', `torch-${cudaVersion}.dist-info`])
  assert.equal(readdirSync(cudaFolder()).sort(), ['include', 'lib', 'version.py'])
  const asked = readFileSync(join(top, 'nvidia/asked'), 'utf8')
  assert.match(asked, /cuda-toolkit\[cublas,cudart\]==13\.0\.3 nvidia-cudnn-cu13==9\.24\.0\.43$/m)
  assert.equal(said, [
    `Asking pip for torch ${cudaVersion} with CUDA: about 3 GB to fetch, 8 GB on the disk while it is unpacked`,
    `LibTorch with CUDA: ${cudaFolder()}`,
  ])
  const temporary = unfinishedPath(basename(top))
  const fixed = `-m pip install --target ${temporary} --only-binary=:all: --no-compile --no-input --disable-pip-version-check --quiet`
  const platforms = ['_2_28', '_2_27', '_2_26', '_2_25', '_2_24', '_2_17', '2014'].map((glibc) => `manylinux${glibc}_x86_64`)
  const any = '--no-deps --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none'
  assert.equal(readFileSync(join(folder, 'calls'), 'utf8').trim().split('\n'), [
    '--version',
    `${fixed} torch==${cudaVersion} ${any} ${platforms.map((name) => `--platform ${name}`).join(' ')}`,
    `${fixed} cuda-toolkit[cublas,cudart]==13.0.3 nvidia-cudnn-cu13==9.24.0.43`,
  ])
  assert.is(process.listenerCount('exit'), listeners)
  assert.equal(readdirSync(cacheFolder()).sort(), [top, cpu].map((path) => path.slice(cacheFolder().length + 1)).sort())
})

test('if pip fails, the error has the reason and the remedy, and nothing is left in the cache', async () => {
  fakePip(true, "echo 'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device' >&2; exit 1")
  const fetching = fetchCudaLibTorch({ say: () => {}, quiet: true })
  await rejects(
    fetching,
    'ERR_LIBTORCH',
    `pip did not install torch ${cudaVersion} with CUDA (ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device): check the connection and that 8 GB are free, then run npx clip-es setup --cuda again`,
  )
  assert.equal(readdirSync(cacheFolder()), [])
  for (const [ending, reason] of [
    ['exit 7', 'pip ended with status 7'],
    ["printf 'a\\n  No module named pip \\nb\\n' >&2; exit 1", 'No module named pip'],
  ] as const) {
    fakePip(true, ending)
    await rejects(fetchCudaLibTorch({ say: () => {}, quiet: true }), 'ERR_LIBTORCH', `with CUDA (${reason}): check`)
  }
})

test('an index that has only a CPU build is reported', async () => {
  fakePip(false)
  await rejects(fetchCudaLibTorch({ say: () => {}, quiet: true }), 'ERR_LIBTORCH', 'has no libtorch_cuda.so', 'CLIP_ES_LIBTORCH')
  assert.not(existsSync(cudaFolder()))
})

test('a wheel without its list of requirements is reported with the reason, and nothing is left in the cache', async () => {
  fakePip(true)
  rmSync(join(folder, 'site', `torch-${cudaVersion}.dist-info`), { recursive: true })
  await rejects(
    fetchCudaLibTorch({ say: () => {}, quiet: true }),
    'ERR_LIBTORCH',
    new RegExp(`^a CUDA build of LibTorch could not be put into ${dirname(cudaFolder())}: ENOENT.*METADATA`),
  )
  assert.equal(readdirSync(cacheFolder()), [])
})

test('a build that another process has put there meanwhile stays', async () => {
  fakePip(true)
  write(join(dirname(cudaFolder()), 'other'), '')
  await fetchCudaLibTorch({ say: () => {} })
  assert.equal(readdirSync(dirname(cudaFolder())), ['other'])
  assert.equal(readdirSync(cacheFolder()), [basename(dirname(cudaFolder()))])
  assert.not.match(readFileSync(join(folder, 'calls'), 'utf8'), '--quiet')
})

test('a platform without CUDA builds is named', async () => {
  for (const [platform, arch] of [
    ['linux', 'arm64'],
    ['win32', 'x64'],
  ])
    await having(process, { platform, arch }, () =>
      rejects(
        fetchCudaLibTorch({ say: () => {} }),
        'ERR_LIBTORCH',
        `set-up fetches a CUDA build of LibTorch only for linux-x64, and this is ${platform}-${arch}: point CLIP_ES_LIBTORCH to a CUDA build`,
      ),
    )
})

test('set-up without any CUDA build says so, fetches one, and uses it', async () => {
  fakePip(true)
  const lines: string[] = []
  const found = await having(console, { log: (line: string) => lines.push(line) }, () => setup({ cuda: true }))
  const version = `${cudaVersion}+cu130`
  assert.equal(found, { folder: cudaFolder(), version, source: 'cache' })
  assert.is(lines[0], 'No CUDA build of LibTorch is set up, and python3 has no torch')
  assert.equal(lines.slice(-2), [
    `LibTorch with CUDA: ${cudaFolder()}`,
    `clip-es uses LibTorch ${version} at ${cudaFolder()} (set-up's copy)`,
  ])
})

test('without Python there is no pip', async () => {
  process.env.PATH = join(folder, 'nowhere')
  await rejects(
    fetchCudaLibTorch({ say: () => {}, quiet: true }),
    'ERR_LIBTORCH',
    'there is no python3 on PATH',
    'CLIP_ES_LIBTORCH',
  )
})

test('a CPU build that CLIP_ES_LIBTORCH names is refused', async () => {
  process.env.CLIP_ES_LIBTORCH = fakeLibTorch(join(folder, 'own'))
  await rejects(setup({ cuda: true, quiet: true }), 'ERR_LIBTORCH', 'is a CPU build', 'unset it', 'setup --cuda')
})

test('a CUDA build of Python is preferred to the CPU build in the cache only if it was asked for', () => {
  const python = fakeLibTorch(join(folder, 'python/torch'), '2.14.1+cu130', true)
  const cpu = fakeLibTorch(oldCpuFolder())
  write(pythonRecord(), JSON.stringify({ folder: python, python: 'python3' }))
  assert.is(installedLibTorch()?.folder, cpu)
  write(pythonRecord(), JSON.stringify({ folder: python, python: 'python3', cuda: true }))
  assert.is(installedLibTorch()?.folder, python)
  rmSync(python, { recursive: true })
  assert.is(installedLibTorch()?.folder, cpu)
})

test.run()
