import { spawn, spawnSync } from 'node:child_process'
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative } from 'node:path'
import { ClipEsError } from '../errors.js'
import { ensureCacheFolder } from './causes.js'
import { installedCudaFolder } from './find.js'
import { loadFailure } from './loads.js'
import { packageRoot } from './paths.js'

export interface AddonOptions {
  say: (line: string) => void
  /** Build even if there is a usable add-on. */
  build?: boolean
}

/** Where the add-on is, and whether this call built it. */
export interface Addon {
  file: string
  built: boolean
}

const failure = (message: string): ClipEsError => new ClipEsError('ERR_LIBTORCH', message)

/** The add-on that would be loaded: build/Release/clip_es.node, else the prebuild for this platform; undefined if there is neither. */
export function addonFile(): string | undefined {
  const { resolve } = require('node-gyp-build') as { resolve(folder: string): string }
  try {
    return resolve(packageRoot())
  } catch {
    return undefined
  }
}

/** True in a checkout of the sources, which has ts/. A published package has only dist/. */
const isCheckout = (): boolean => existsSync(join(packageRoot(), 'ts'))

function newestSource(): number {
  const root = packageRoot()
  const folders = ['cpp', 'binding'].map((name) => join(root, name)).filter(existsSync)
  const files = folders.flatMap((folder) =>
    readdirSync(folder, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name)),
  )
  return Math.max(...[...files, join(root, 'CMakeLists.txt')].map((file) => statSync(file).mtimeMs))
}

/** True in a checkout whose C++ sources are newer than the add-on. */
export const isOutdated = (file: string): boolean => isCheckout() && statSync(file).mtimeMs < newestSource()

/** The reason to build the add-on, or undefined. */
function reasonToBuild(file: string | undefined, build: boolean): string | undefined {
  if (build) return 'as asked'
  if (!file) return 'there is none for this platform'
  if (isOutdated(file)) return 'the sources are newer'
  const failed = loadFailure(file)
  return failed && `${relative(packageRoot(), file)} does not load (${failed})`
}

const isOnPath = (command: string): boolean => spawnSync(command, ['--version']).error === undefined

function requireTools(): void {
  const needs = [
    { tools: ['cmake'], name: 'cmake' },
    { tools: ['g++', 'clang++', 'c++'], name: 'a C++ compiler (g++)' },
    { tools: ['ninja', 'make'], name: 'ninja or make (ninja-build)' },
  ]
  const missing = needs.filter(({ tools }) => !tools.some(isOnPath)).map(({ name }) => name)
  if (missing.length)
    throw failure(
      `the add-on has to be built, and this is missing: ${missing.join(', ')}. Debian, Ubuntu: apt-get install cmake g++ ninja-build; ` +
        'Fedora: dnf install cmake gcc-c++ ninja-build. Then run npx clip-es setup again',
    )
}

/** Refuses to build in an installation of another user, such as a global one. */
function requireWritable(): void {
  const build = join(packageRoot(), 'build')
  const folder = existsSync(build) ? build : packageRoot()
  try {
    accessSync(folder, constants.W_OK)
  } catch (cause) {
    throw failure(
      `the add-on has to be built, but ${folder} cannot be written (${(cause as Error).message}): ` +
        'run npx clip-es setup as the user who installed the package, or install it in a folder of your own',
    )
  }
}

function cmakeJs(args: string[], log: number): Promise<boolean> {
  const command = require.resolve('cmake-js/bin/cmake-js')
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, [command, ...args], { cwd: packageRoot(), stdio: ['ignore', log, log] })
    child.on('error', failed).on('close', (status) => done(status === 0))
  })
}

async function compile(log: number): Promise<boolean> {
  // Only the kernels for GPUs depend on it: CMake builds them if this is a CUDA build and there is nvcc.
  const configure = ['configure', `--CDCLIP_ES_LIBTORCH=${installedCudaFolder() ?? ''}`]
  if (!(await cmakeJs(configure, log))) {
    // CMake refuses a folder that was configured with another generator or in another place.
    rmSync(join(packageRoot(), 'build'), { recursive: true, force: true })
    if (!(await cmakeJs(configure, log))) return false
  }
  return await cmakeJs(['build', '--parallel', String(availableParallelism())], log)
}

/** The lines of a log that contain errors, else its last lines. */
function errorsIn(file: string): string {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  const errors = lines.filter((line) => /\berror\b/i.test(line))
  return (errors.length ? errors.slice(0, 8) : lines.slice(-8)).join('\n  ')
}

async function build(): Promise<string> {
  requireTools()
  requireWritable()
  const logFile = join(ensureCacheFolder(), 'build.log')
  const log = openSync(logFile, 'w')
  const good = await compile(log).finally(() => closeSync(log))
  const file = addonFile()
  if (!good || !file) throw failure(`the add-on did not build; the whole log is ${logFile}:\n  ${errorsIn(logFile)}`)
  utimesSync(file, new Date(), new Date()) // CMake leaves the file as it is if a changed source has no effect
  return file
}

/** Finds the add-on, and builds it if it is missing, does not load or is older than the checkout's sources. Throws ERR_LIBTORCH. */
export async function ensureAddon(options: AddonOptions): Promise<Addon> {
  const found = addonFile()
  const reason = reasonToBuild(found, options.build ?? false)
  if (!reason && found) return { file: found, built: false }
  options.say(`Building the add-on: ${reason}`)
  const file = await build()
  const failed = loadFailure(file)
  if (failed) throw failure(`the add-on was built but does not load: ${failed}`)
  return { file, built: true }
}
