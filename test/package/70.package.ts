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
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from '../e2e/support.js'
import { testIf } from '../test_if.js'

const largestTarball = 20e6 // bytes
const folder = mkdtempSync(join(tmpdir(), 'clip es package '))
const prebuilds = join(root, 'prebuilds')
/** The files of npm run prebuild:all. */
const platforms = ['linux-x64', 'linux-arm64', 'win32-x64', 'darwin-arm64', 'darwin-x64'].map(
  (name) => `${name}/clip-es${name.startsWith('linux') ? '.glibc' : ''}.node`,
)
test.after(() => {
  rmSync(folder, { recursive: true, force: true })
  if (allPlatforms) return
  rmSync(join(prebuilds, 'linux-x64'), { recursive: true, force: true })
  spawnSync('npm', ['run', '--silent', 'build:native'], { cwd: root, stdio: 'inherit' }) // prebuildify moved the add-on
})

const hasTools = ['cmake', 'c++', 'objdump'].every((tool) => spawnSync(tool, ['--version']).error === undefined)
const packageTest = testIf(hasTools, 'the packed package: there is no CMake, C++ compiler or objdump to make a prebuild')

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
  return join(prebuilds, 'linux-x64', addon)
}

/** True if npm run prebuild:all has made all platforms from the sources as they are. */
function hasAllPlatforms(): boolean {
  const files = ['cpp', 'binding'].flatMap((name) => readdirSync(join(root, name), { recursive: true, withFileTypes: true }))
  const newest = Math.max(...files.map((entry) => statSync(join(entry.parentPath ?? entry.path, entry.name)).mtimeMs))
  return platforms.every((file) => (statSync(join(prebuilds, file), { throwIfNoEntry: false })?.mtimeMs ?? 0) > newest)
}

const allPlatforms = hasAllPlatforms()
const allTest = testIf(allPlatforms, 'the prebuilds of all platforms: npm run prebuild:all makes them')

allTest('npm run check:prebuilds finds nothing wrong, and finds a prebuild that is missing or too large', () => {
  const check = () => run(root, 'npm', ['run', '--silent', 'check:prebuilds'])
  const { stdout } = succeeds(check())
  for (const file of platforms) assert.match(stdout, new RegExp(`^${file.split('/')[0]}: [\\d.]+ MB`, 'm'))
  const file = join(prebuilds, 'win32-x64/clip-es.node')
  const kept = readFileSync(file)
  try {
    rmSync(file)
    assert.match(check().stderr, /win32-x64\/clip-es\.node is missing: run npm run prebuild:all/)
    writeFileSync(file, Buffer.concat([kept, Buffer.alloc(4_000_000)]))
    assert.match(check().stderr, /win32-x64\/clip-es\.node: it has \d+ bytes, more than 4000000/)
  } finally {
    writeFileSync(file, kept)
  }
})

packageTest('the prebuild for linux-x64 needs the C library alone, and exports nothing but what Node looks up', () => {
  if (!allPlatforms) {
    rmSync(join(prebuilds, 'linux-x64'), { recursive: true, force: true })
    succeeds(run(root, 'npm', ['run', 'prebuildify']))
  }
  const packed = readdirSync(join(prebuilds, 'linux-x64'))
  assert.equal(
    packed.filter((name) => name !== cudaKernels), // which are there where a CUDA LibTorch is
    [addon],
  )
  const symbols = succeeds(run(root, 'objdump', ['-T', prebuild()])).stdout.split('\n')
  const own = symbols
    .filter((line) => /^[0-9a-f]{16}/.test(line) && !line.includes('*UND*'))
    .map((line) => line.split(/\s+/).at(-1))
  assert.equal(own.sort(), ['napi_register_module_v1', 'node_api_module_get_api_version_v1'])
  const header = succeeds(run(root, 'objdump', ['-p', prebuild()])).stdout
  const needed = [...header.matchAll(/NEEDED\s+(\S+)/g)].map(([, name]) => name)
  assert.equal(
    needed.filter((name) => !/^(libc|libm|libdl|libpthread|ld-linux-x86-64)\.so/.test(name as string)),
    [],
  )
})

const tarballs = { library: '', server: '', command: '' }

function pack(workspace: string): { file: string; paths: string[] } {
  const args = ['pack', '--json', '--ignore-scripts', '--workspace', workspace, '--pack-destination', folder]
  const { stdout } = succeeds(run(root, 'npm', args))
  const [packed] = JSON.parse(stdout) as { filename: string; files: { path: string }[] }[]
  return { file: join(folder, packed?.filename as string), paths: packed?.files.map(({ path }) => path) ?? [] }
}

packageTest(
  'npm pack of the library has no sources but those of the training program, no tests or command, and less than 20 MB',
  () => {
    const { file, paths } = pack('clip-es')
    tarballs.library = file
    assert.ok(statSync(file).size < largestTarball, `${statSync(file).size} bytes`)
    for (const path of [
      'dist/index.js',
      'dist/index.d.ts',
      'dist/esm.mjs',
      'dist/esm.d.mts',
      'dist/photos/index.js',
      'prebuilds/linux-x64/clip-es.glibc.node',
      'models/emoji-clip.pt',
      'data/clip_merges.txt.gz',
      'tools/export_archive.py',
      'cpp/train/CMakeLists.txt',
      'docs/errors.md',
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
    ])
      assert.ok(paths.includes(path), `${path} is not packed`)
    const strays =
      /^(ts|cli|server|cpp\/(?!(archive|core|third_party|train)\/)|binding|test|node_modules|build|bench|scripts|\.)|\.(pyc|log|tgz)$/
    assert.equal(
      paths.filter((path) => strays.test(path)),
      [],
    )
  },
)

packageTest('npm pack of the server has only compiled files', () => {
  const { file, paths } = pack('clip-es-server')
  tarballs.server = file
  for (const path of ['dist/index.js', 'dist/esm.mjs', 'LICENSE', 'README.md']) assert.ok(paths.includes(path), String(paths))
  assert.equal(
    paths.filter((path) => !/^(dist\/.*\.(m?js|css|html|svg|d\.m?ts)|package\.json|README\.md|LICENSE)$/.test(path)),
    [],
  )
})

packageTest('npm pack of the command has only compiled files', () => {
  const { file, paths } = pack('clip-es-cli')
  tarballs.command = file
  assert.ok(paths.includes('dist/main.js') && paths.includes('LICENSE') && paths.includes('README.md'), String(paths))
  assert.equal(
    paths.filter((path) => !/^(dist\/.*\.(js|css)|package\.json|README\.md|LICENSE)$/.test(path)),
    [],
  )
})

function project(name: string): string {
  const at = join(folder, name)
  mkdirSync(at)
  writeFileSync(join(at, 'package.json'), JSON.stringify({ name: 'a-project', private: true }))
  return at
}

// A scene's pixels, which the programs below read without sharp: the library does not bring it.
const pixels = join(folder, 'pixels')
test.before(async () => {
  const { data, info } = await sharp(join(root, 'models/scenes/scene01.png'))
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true })
  assert.equal([info.width, info.height], [320, 240])
  writeFileSync(pixels, data)
})

const use = `
async function use({ Segmenter }) {
  const { readFileSync } = require('node:fs')
  const segmenter = await Segmenter.load()
  const classes = await segmenter.encodeClasses(['elephant', 'television', 'panda'])
  const { mask } = await segmenter.segment({ data: readFileSync(${JSON.stringify(pixels)}), width: 320, height: 240 }, classes)
  await segmenter.close()
  const [, addon] = readFileSync('/proc/self/maps', 'utf8').match(/ (\\/.*clip[-_]es[^/]*\\.node)$/m)
  const hash = require('node:crypto').createHash('sha256').update(mask).digest('hex')
  console.log(JSON.stringify({ hash, addon }))
}`
const commonJs = `${use}\nuse(require('clip-es'))`
const esModule = `import { createRequire } from 'node:module'
import * as clip from 'clip-es'
const require = createRequire(import.meta.url)
${use}
await use(clip)`

function usePackage(at: string, env: NodeJS.ProcessEnv): { hash: string; addon: string }[] {
  writeFileSync(join(at, 'use.cjs'), commonJs)
  writeFileSync(join(at, 'use.mjs'), esModule)
  return ['use.cjs', 'use.mjs'].map((file) => JSON.parse(succeeds(run(at, process.execPath, [file], env)).stdout))
}

const most = { packages: 4, bytes: 25e6 }

packageTest(
  'the library installs without scripts, compiler and LibTorch, with few packages; require and import give the same',
  () => {
    const at = project('a project')
    succeeds(run(at, 'npm', ['install', '--prefer-offline', '--ignore-scripts', tarballs.library], bare()))
    const [required, imported] = usePackage(at, bare())
    assert.match(required?.addon ?? '', /a project\/node_modules\/clip-es\/prebuilds\/linux-x64\/clip-es\.glibc\.node$/)
    assert.equal(imported, required)
    const { stdout } = succeeds(run(at, 'npm', ['ls', '--all', '--parseable'], bare()))
    const packages = stdout.trim().split('\n').length - 1 // the first line is the project
    const files = readdirSync(join(at, 'node_modules'), { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    )
    const bytes = files.reduce((sum, entry) => sum + statSync(join(entry.parentPath ?? entry.path, entry.name)).size, 0)
    console.log(`  ${packages} packages, ${(bytes / 1e6).toFixed(1)} MB`)
    assert.ok(packages <= most.packages && bytes <= most.bytes, `${packages} packages, ${bytes} bytes`)
  },
)

packageTest('clip-es/photos without sharp says what to install', () => {
  const script = "require('clip-es/photos').readPhoto('package.json').catch((error) => console.log(error.code, error.message))"
  const { stdout } = succeeds(run(join(folder, 'a project'), process.execPath, ['-e', script], bare()))
  assert.match(stdout, /^ERR_IO .*run npm install sharp$/m)
})

packageTest('the command installs without scripts and works, and doctor finds nothing wrong', () => {
  const at = project('another project')
  succeeds(run(at, 'npm', ['install', '--prefer-offline', '--ignore-scripts', ...Object.values(tarballs)], bare()))
  const doctor = run(at, 'npx', ['clip-es', 'doctor'], bare())
  assert.is(doctor.status, 0, doctor.stdout + doctor.stderr)
  assert.match(doctor.stdout, /^Everything works/m)
  const photo = 'node_modules/clip-es/models/scenes/scene01.png'
  succeeds(run(at, 'npx', ['clip-es', 'segment', photo, '--classes', 'panda,television', '-o', 'masks'], bare()))
  assert.ok(existsSync(join(at, 'masks', photo)))
})

packageTest('without an add-on for the platform, the error of load() says so and has the remedy', () => {
  const at = join(folder, 'a project')
  rmSync(join(at, 'node_modules/clip-es/prebuilds'), { recursive: true })
  const script = "require('clip-es').Segmenter.load().catch((error) => console.log(error.code, error.message))"
  const { stdout } = succeeds(run(at, process.execPath, ['-e', script], bare()))
  assert.match(stdout, /^ERR_LIBTORCH there is no native add-on for linux x64: use a platform that the README lists, or build/m)
})

test.run()
