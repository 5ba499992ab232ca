// What npm pack makes, as others meet it: prebuilt, installed where there is no compiler and no network, imported and required.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { glibcVersion } from '../../ts/setup/glibc.js'
import { root } from '../e2e/support.js'

const largestTarball = 20e6 // bytes
const folder = mkdtempSync(join(tmpdir(), 'clip es package '))
const hadPrebuilds = existsSync(join(root, 'prebuilds'))
test.after(() => {
  rmSync(folder, { recursive: true, force: true })
  if (hadPrebuilds) return
  rmSync(join(root, 'prebuilds'), { recursive: true, force: true })
  spawnSync(process.execPath, ['dist/cli/main.js', 'setup', '--quiet'], { cwd: root, stdio: 'inherit' }) // prebuildify moved the add-on
})

const hasTools = ['cmake', 'c++', 'objdump'].every((tool) => spawnSync(tool, ['--version']).error === undefined)
if (!hasTools) console.log('skipped: the packed package: there is no CMake, C++ compiler or objdump to make a prebuild')
const packageTest: typeof test.skip = hasTools ? test : test.skip

/** npm, Node and a shell, and nothing else: no compiler, no CMake, no Python. */
const bareBin = join(folder, 'bin')
mkdirSync(bareBin)
for (const tool of ['sh', 'npm', 'npx']) {
  const { stdout } = spawnSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' })
  symlinkSync(realpathSync(stdout.trim()), join(bareBin, tool))
}
symlinkSync(process.execPath, join(bareBin, 'node'))

/** Only the tools above, and no LibTorch anywhere. */
function bare(): NodeJS.ProcessEnv {
  const { CLIP_ES_LIBTORCH: _, CLIP_ES_MODEL: __, NODE_OPTIONS: ___, ...rest } = process.env
  return { ...rest, PATH: bareBin, CLIP_ES_CACHE: join(folder, 'empty cache') }
}

function run(cwd: string, command: string, args: string[], env = process.env): SpawnSyncReturns<string> {
  return spawnSync(command, args, { encoding: 'utf8', cwd, env, maxBuffer: 1 << 26 })
}

function succeeds(result: SpawnSyncReturns<string>): SpawnSyncReturns<string> {
  assert.is(result.status, 0, `${result.error?.message ?? ''}${result.stdout}${result.stderr}`)
  return result
}

const addon = 'clip-es.glibc.node'
const cudaKernels = 'libclip_es_cuda.so'

function prebuild(): string {
  return join(root, 'prebuilds/linux-x64', addon)
}

packageTest('npm run prebuildify packs one add-on for linux-x64, which exports nothing but what Node looks up', () => {
  rmSync(join(root, 'prebuilds'), { recursive: true, force: true })
  succeeds(run(root, 'npm', ['run', 'prebuildify']))
  assert.equal(readdirSync(join(root, 'prebuilds')), ['linux-x64'])
  const packed = readdirSync(join(root, 'prebuilds/linux-x64'))
  assert.equal(
    packed.filter((name) => name !== cudaKernels), // which are there where a CUDA LibTorch is
    [addon],
  )
  const symbols = succeeds(run(root, 'objdump', ['-T', prebuild()])).stdout.split('\n')
  const own = symbols
    .filter((line) => /^[0-9a-f]{16}/.test(line) && !line.includes('*UND*'))
    .map((line) => line.split(/\s+/).at(-1))
  assert.equal(own.sort(), ['napi_register_module_v1', 'node_api_module_get_api_version_v1'])
})

packageTest('the prebuild needs the C library alone, and no newer one than the README says', () => {
  const header = succeeds(run(root, 'objdump', ['-p', prebuild()])).stdout
  const needed = [...header.matchAll(/NEEDED\s+(\S+)/g)].map(([, name]) => name)
  assert.equal(
    needed.filter((name) => !/^(libc|libm|ld-linux-x86-64)\.so/.test(name as string)),
    [],
  )
  const symbols = succeeds(run(root, 'objdump', ['-T', prebuild()])).stdout
  const versions = [...symbols.matchAll(/\(GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor))
  const newest = Math.max(...versions)
  const [, documented] = readFileSync(join(root, 'README.md'), 'utf8').match(/glibc 2\.(\d+)/) ?? []
  console.log(`  needs glibc 2.${newest}, built on ${glibcVersion()}; README: 2.${documented}`)
  assert.ok(newest <= Number(documented), `glibc 2.${newest} is needed, the README says 2.${documented}`)
})

let tarball = ''

packageTest('npm pack: what runs and builds the package, and is under 20 MB', () => {
  const { stdout } = succeeds(run(root, 'npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder]))
  const [packed] = JSON.parse(stdout) as { filename: string; files: { path: string }[] }[]
  tarball = join(folder, packed?.filename as string)
  assert.ok(statSync(tarball).size < largestTarball, `${statSync(tarball).size} bytes`)
  const paths = packed?.files.map(({ path }) => path) ?? []
  for (const path of [
    'dist/index.js',
    'dist/index.d.ts',
    'dist/esm.mjs',
    'dist/esm.d.mts',
    'dist/cli/main.js',
    'prebuilds/linux-x64/clip-es.glibc.node',
    'models/emoji-clip.pt',
    'data/bpe_simple_vocab_16e6.txt.gz',
    'cpp/segmenter.cpp',
    'binding/addon.cpp',
    'binding/exports.map',
    'CMakeLists.txt',
    'scripts/install.cjs',
    'tools/export_archive.py',
    'examples/native/main.cpp',
    'docs/errors.md',
    'README.md',
    'LICENSE',
  ])
    assert.ok(paths.includes(path), `${path} is not packed`)
  const strays = paths.filter((path) => /^(ts|test|node_modules|build|bench|\.)/.test(path) || /\.(pyc|log|tgz)$/.test(path))
  assert.equal(strays, [])
})

function project(name: string): string {
  const at = join(folder, name)
  mkdirSync(at)
  writeFileSync(join(at, 'package.json'), JSON.stringify({ name: 'a-project', private: true }))
  return at
}

const use = `
async function use({ Segmenter }, scene) {
  const sharp = require('sharp')
  const { data, info } = await sharp(scene).removeAlpha().raw().toBuffer({ resolveWithObject: true })
  const segmenter = await Segmenter.load()
  const classes = await segmenter.encodeClasses(['elephant', 'television', 'panda'])
  const { mask } = await segmenter.segment({ data, width: info.width, height: info.height }, classes)
  await segmenter.close()
  const maps = require('node:fs').readFileSync('/proc/self/maps', 'utf8')
  const [, addon] = maps.match(/ (\\/.*clip[-_]es[^/]*\\.node)$/m)
  const hash = require('node:crypto').createHash('sha256').update(mask).digest('hex')
  console.log(JSON.stringify({ hash, addon }))
}`
const commonJs = `${use}\nuse(require('clip-es'), require.resolve('clip-es/package.json').replace('package.json', 'models/scenes/scene01.png'))`
const esModule = `import { createRequire } from 'node:module'
import * as clip from 'clip-es'
const require = createRequire(import.meta.url)
${use}
await use(clip, new URL('./node_modules/clip-es/models/scenes/scene01.png', import.meta.url).pathname.replaceAll('%20', ' '))`

function usePackage(at: string, env: NodeJS.ProcessEnv): { hash: string; addon: string }[] {
  writeFileSync(join(at, 'use.cjs'), commonJs)
  writeFileSync(join(at, 'use.mjs'), esModule)
  return ['use.cjs', 'use.mjs'].map((file) => JSON.parse(succeeds(run(at, process.execPath, [file], env)).stdout))
}

let first = ''

packageTest('npm install without a compiler, CMake and LibTorch; require and import', () => {
  first = project('a project')
  const { stdout } = succeeds(run(first, 'npm', ['install', '--foreground-scripts', '--prefer-offline', tarball], bare()))
  assert.match(stdout, /clip-es is set up: add-on prebuilds\/linux-x64\/clip-es\.glibc\.node$/m)
  const [required, imported] = usePackage(first, bare())
  assert.match(required?.addon ?? '', /a project\/node_modules\/clip-es\/prebuilds\/linux-x64\/clip-es\.glibc\.node$/)
  assert.equal(imported, required)
})

packageTest('the installed command works there, and the doctor finds nothing wrong', () => {
  const doctor = run(first, 'npx', ['clip-es', 'doctor'], bare())
  assert.is(doctor.status, 0, doctor.stdout + doctor.stderr)
  assert.match(doctor.stdout, /^Everything works/m)
  const photo = 'node_modules/clip-es/models/scenes/scene01.png'
  succeeds(run(first, 'npx', ['clip-es', 'segment', photo, '--classes', 'panda,television', '-o', 'masks'], bare()))
  assert.ok(existsSync(join(first, 'masks', photo)))
})

packageTest('npm install without any network and without scripts: it works', () => {
  const second = project('another project')
  succeeds(run(second, 'npm', ['install', '--offline', '--ignore-scripts', tarball], bare()))
  const [required] = usePackage(second, bare())
  assert.is(required?.hash, usePackage(first, bare())[0]?.hash)
})

packageTest('an install that cannot build the add-on says why and what to do, and leaves the project installed', () => {
  const third = project('a third project')
  const without = join(folder, 'without prebuild.tgz')
  const unpacked = join(folder, 'unpacked')
  mkdirSync(unpacked)
  succeeds(run(folder, 'tar', ['-xzf', tarball, '-C', unpacked]))
  rmSync(join(unpacked, 'package/prebuilds'), { recursive: true })
  succeeds(run(unpacked, 'tar', ['-czf', without, 'package']))
  const { status, stdout, stderr } = run(third, 'npm', ['install', '--foreground-scripts', '--offline', without], bare())
  assert.is(status, 0, stdout + stderr)
  assert.match(stderr, /clip-es: the add-on has to be built, and this is missing: cmake/)
  assert.match(
    stderr,
    /clip-es: installed, but the add-on could not be built\. Remove the cause above, then run npx clip-es setup/,
  )
  assert.ok(existsSync(join(third, 'node_modules/clip-es/dist/index.js')))
})

test.run()
