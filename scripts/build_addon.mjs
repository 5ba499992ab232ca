// npm run build:native [-- --force]: builds the native add-on of a checkout into build/Release, if it is missing, older than its sources, or
// does not load. Needs CMake, a C++20 compiler, Ninja or make, and the compiled TypeScript in dist/.
import { spawn, spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const addon = join(root, 'build/Release/clip_es.node')
const buildLog = join(root, 'build/build.log')

function newestSource() {
  const files = ['cpp', 'binding'].flatMap((folder) =>
    readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name)),
  )
  return Math.max(...[...files, join(root, 'CMakeLists.txt')].map((file) => statSync(file).mtimeMs))
}

/** Why the add-on does not load, or undefined. A process of its own loads it, because a broken one can end the process. */
function loadFailure() {
  const { status, signal, stderr } = spawnSync(process.execPath, ['-e', 'require(process.argv[1])', addon], { encoding: 'utf8' })
  if (status === 0) return undefined
  return stderr.match(/^Error: (.*)$/m)?.[1] ?? `loading it ends Node.js by ${signal ?? `status ${status}`}`
}

/** The reason to build, or undefined. */
function reasonToBuild(force) {
  if (force) return 'as asked'
  if (!existsSync(addon)) return 'there is none'
  if (statSync(addon).mtimeMs < newestSource()) return 'the sources are newer'
  const failure = loadFailure()
  return failure && `the present one does not load (${failure})`
}

const isOnPath = (command) => spawnSync(command, ['--version']).error === undefined

function requireTools() {
  const needs = [
    { tools: ['cmake'], name: 'cmake' },
    { tools: ['g++', 'clang++', 'c++'], name: 'a C++ compiler (g++)' },
    { tools: ['ninja', 'make'], name: 'ninja or make (ninja-build)' },
  ]
  const missing = needs.filter(({ tools }) => !tools.some(isOnPath)).map(({ name }) => name)
  if (missing.length)
    throw new Error(
      `the add-on must be built, and this is missing: ${missing.join(', ')}. Debian, Ubuntu: apt-get install cmake g++ ninja-build; ` +
        'Fedora: dnf install cmake gcc-c++ ninja-build. Then run npm install again',
    )
}

function cmakeJs(args, log) {
  const command = require.resolve('cmake-js/bin/cmake-js')
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, [command, ...args], { cwd: root, stdio: ['ignore', log, log] })
    child.on('error', failed).on('close', (status) => done(status === 0))
  })
}

async function compile(log) {
  // Only the kernels for GPUs depend on LibTorch: CMake builds them if this is a CUDA build and there is nvcc.
  const { installedCudaFolder } = require('../dist/libtorch/find.js')
  const configure = ['configure', `--CDCLIP_ES_LIBTORCH=${installedCudaFolder() ?? ''}`]
  if (!(await cmakeJs(configure, log))) {
    // CMake refuses a folder that was configured with another generator or in another place.
    for (const name of readdirSync(join(root, 'build')))
      if (name !== 'build.log') rmSync(join(root, 'build', name), { recursive: true, force: true })
    if (!(await cmakeJs(configure, log))) return false
  }
  return await cmakeJs(['build', '--parallel', String(availableParallelism())], log)
}

/** The lines of the log that contain errors, else its last lines. */
function errorsInLog() {
  const lines = readFileSync(buildLog, 'utf8').trimEnd().split('\n')
  const errors = lines.filter((line) => /\berror\b/i.test(line))
  return (errors.length ? errors.slice(0, 8) : lines.slice(-8)).join('\n  ')
}

/**
 * Builds the add-on if needed. Throws an error with the remedy.
 * @returns whether it was built
 */
export async function ensureAddon({ say = console.log, force = false } = {}) {
  const reason = reasonToBuild(force)
  if (!reason) return false
  requireTools()
  say(`Building the add-on: ${reason}`)
  mkdirSync(join(root, 'build'), { recursive: true })
  const log = openSync(buildLog, 'w')
  const built = await compile(log).finally(() => closeSync(log))
  if (!built || !existsSync(addon)) throw new Error(`the add-on did not build; the whole log is ${buildLog}:\n  ${errorsInLog()}`)
  utimesSync(addon, new Date(), new Date()) // CMake leaves the file as it is if a changed source has no effect
  const failure = loadFailure()
  if (failure) throw new Error(`the add-on was built but does not load: ${failure}`)
  return true
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    if (!(await ensureAddon({ force: process.argv.includes('--force') }))) console.log('The add-on is up to date')
  } catch (error) {
    console.error(`clip-es: ${error.message}`)
    process.exitCode = 1
  }
}
