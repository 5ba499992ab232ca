import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { availableParallelism, freemem } from 'node:os'
import { join } from 'node:path'
import { ClipEsError } from 'clip-es'
import { cacheFolder, packageFolder } from 'clip-es/support'
import { ensureCacheFolder, innermostMessage } from '../setup/causes.js'
import { removeLeftovers, unfinishedPath } from '../setup/own_files.js'
import { complain } from '../shared/say.js'
import { findLibTorch, type TrainLibTorch } from './libtorch.js'

/** The training program, and the LibTorch that it was built for. */
export interface Program {
  file: string
  libtorch: TrainLibTorch
}

const name = 'clip_es_train'
const bytesPerCompiler = 2 ** 31 // LibTorch's headers are large

const failure = (message: string, cause?: unknown): ClipEsError => new ClipEsError('ERR_LIBTORCH', message, { cause })

/**
 * The training program. It is built on the first use, and again for another LibTorch or version of clip-es. $CLIP_ES_TRAIN_PROGRAM names one
 * that is built already.
 * @throws ERR_LIBTORCH saying all that is missing
 */
export async function trainProgram(signal: AbortSignal): Promise<Program> {
  const own = process.env.CLIP_ES_TRAIN_PROGRAM
  if (own) return { file: own, libtorch: ownLibTorch(own) }
  const libtorch = findLibTorch()
  const sources = join(packageFolder(), 'cpp')
  if (!('missing' in libtorch)) {
    const file = join(cacheFolder(), `train-${keyOf(sources, libtorch)}`, name)
    if (existsSync(file)) return { file, libtorch }
  }
  const missing = missingParts(libtorch)
  if (missing.length || 'missing' in libtorch) throw failure(missingMessage(missing))
  return { file: await build(sources, libtorch, signal), libtorch }
}

function ownLibTorch(file: string): TrainLibTorch {
  if (!existsSync(file))
    throw failure(`CLIP_ES_TRAIN_PROGRAM is ${file}, which is not there; unset it, so that the program is built`)
  const found = findLibTorch()
  return 'missing' in found ? { folder: '', version: 'unknown' } : found
}

/** What a build needs and is not here, in words. */
export const missingParts = (libtorch = findLibTorch()): string[] => [
  ...('missing' in libtorch ? [libtorch.missing] : []),
  ...missingTools(),
]

const missingMessage = (missing: readonly string[]): string =>
  `the training program is built on its first use, and this machine lacks ${missing.join('; ')}. On Debian or Ubuntu: ` +
  'apt-get install cmake g++ libjpeg-dev libpng-dev. LibTorch: python3 -m pip install torch, or point CLIP_ES_LIBTORCH to the folder ' +
  'of a LibTorch that has include/ and lib/. Then run the same command again'

const runs = (program: string, ...args: string[]): boolean => spawnSync(program, args, { stdio: 'ignore' }).status === 0

function missingTools(): string[] {
  const compiler = [process.env.CXX, 'c++', 'g++', 'clang++'].find((program) => program && runs(program, '--version'))
  const missing = runs('cmake', '--version') ? [] : ['cmake']
  if (compiler === undefined) return [...missing, 'a C++ compiler (c++, g++, clang++ or $CXX)']
  const hasHeader = (header: string) =>
    spawnSync(compiler, ['-fsyntax-only', '-x', 'c++', '-'], { input: `#include <cstdio>\n#include <${header}>\n` }).status === 0
  if (!hasHeader('jpeglib.h')) missing.push('the headers of libjpeg')
  if (!hasHeader('png.h')) missing.push('the headers of libpng')
  return missing
}

/** Names a build: another one for other sources or another LibTorch. */
function keyOf(sources: string, { folder, version }: TrainLibTorch): string {
  const hash = createHash('sha256').update(`${folder}\n${version}\n`)
  for (const part of ['train', 'core', 'archive'])
    for (const file of readdirSync(join(sources, part), { recursive: true, encoding: 'utf8' }).sort())
      if (/\.(cpp|h|txt)$/.test(file)) hash.update(file).update(readFileSync(join(sources, part, file)))
  return hash.digest('hex').slice(0, 16)
}

async function build(sources: string, libtorch: TrainLibTorch, signal: AbortSignal): Promise<string> {
  ensureCacheFolder()
  removeLeftovers()
  const folder = `train-${keyOf(sources, libtorch)}`
  const target = join(cacheFolder(), folder)
  const temporary = unfinishedPath(folder)
  const at = join(temporary, 'build')
  complain(
    `clip-es: building the training program for LibTorch ${libtorch.version} (${libtorch.folder}); this takes a few minutes, once`,
  )
  try {
    mkdirSync(at, { recursive: true })
    const jobs = Math.max(1, Math.min(availableParallelism(), Math.floor(freemem() / bytesPerCompiler)))
    await runStep(
      ['-S', join(sources, 'train'), '-B', at, '-DCMAKE_BUILD_TYPE=Release', `-DCLIP_ES_LIBTORCH=${libtorch.folder}`],
      signal,
    )
    await runStep(['--build', at, '--target', name, '--parallel', process.env.CMAKE_BUILD_PARALLEL_LEVEL ?? String(jobs)], signal)
    renameSync(join(at, name), join(temporary, name))
    chmodSync(join(temporary, name), 0o755)
    rmSync(at, { recursive: true })
    if (!existsSync(target)) renameSync(temporary, target) // else another process was faster
    return join(target, name)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof ClipEsError) throw error
    throw failure(`the training program could not be put into ${target}: ${innermostMessage(error)}`, error)
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

const shownLines = 15

/** Runs CMake. Its output is shown only when it fails. */
async function runStep(args: string[], signal: AbortSignal): Promise<void> {
  const child = spawn('cmake', args, { stdio: ['ignore', 'pipe', 'pipe'], signal })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text))
  const status = await new Promise((done, failed) => child.on('error', failed).on('close', done))
  if (status === 0) return
  const lines = output.trimEnd().split('\n')
  const first = lines.findIndex((line) => /error/i.test(line))
  const from = Math.max(0, first < 0 ? lines.length - shownLines : first)
  throw failure(
    `the training program could not be built (cmake ${args.join(' ')} ended with status ${status}); the compiler says:\n${lines.slice(from, from + shownLines).join('\n')}`,
  )
}
