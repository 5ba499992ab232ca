import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { ClipEsError } from '../errors.js'
import { ensureCacheFolder, innermostMessage } from './causes.js'
import { hasCuda } from './find.js'
import { ownPath, removeLeftovers } from './own_files.js'
import { cudaVersion, fetchedCudaFolder } from './paths.js'
import { pythonCommand } from './python.js'

const roomNeeded = '8 GB'

const failure = (message: string, cause?: unknown): ClipEsError => new ClipEsError('ERR_LIBTORCH', message, { cause })

/** Whatever Python is here: the libraries are the same in every wheel. */
const anyPython = [
  ...['--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311', '--abi', 'abi3', '--abi', 'none'],
  ...['2_28', '2_27', '2_26', '2_25', '2_24', '2_17', '2014'].flatMap((glibc) => [
    '--platform',
    glibc === '2014' ? 'manylinux2014_x86_64' : `manylinux_${glibc}_x86_64`,
  ]),
]

/** Runs pip, which shows its own progress; resolves to why it failed, or undefined. */
function pipInstall(python: string, folder: string, what: readonly string[], quiet: boolean): Promise<string | undefined> {
  const fixed = ['-m', 'pip', 'install', '--target', folder, '--only-binary=:all:', '--no-compile', '--no-input']
  const args = [...fixed, '--disable-pip-version-check', ...(quiet ? ['--quiet'] : []), ...what]
  return new Promise((done, failed) => {
    const child = spawn(python, args, { stdio: ['ignore', quiet ? 'ignore' : 'inherit', 'pipe'] })
    let errors = ''
    child.stderr.on('data', (text: Buffer) => (errors += text))
    child.on('error', failed).on('close', (status) => {
      if (status === 0) return done(undefined)
      const lines = errors.split('\n').filter((line) => /^ERROR|No module named/.test(line.trim()))
      done(lines.at(-1)?.trim() ?? `pip ended with status ${status}`)
    })
  })
}

/**
 * The packages of CUDA's libraries that a torch wheel asks for. What it asks for besides is for Python alone, and has hundreds of
 * megabytes.
 */
function cudaLibraries(folder: string): string[] {
  const info = readdirSync(folder).find((name) => /^torch-.*\.dist-info$/.test(name)) ?? ''
  const metadata = readFileSync(join(folder, info, 'METADATA'), 'utf8')
  return Array.from(metadata.matchAll(/^Requires-Dist: ((?:nvidia-|cuda-toolkit)[^;\n]*)/gm), ([, requirement = '']) =>
    requirement.trim(),
  )
}

/** What the engine reads of an installation: torch's libraries and headers, CUDA's libraries beside it, and the licences. */
function keepLibraries(folder: string): void {
  const isWanted = (name: string) => name === 'torch' || /^nvidia/.test(name) || /^torch-.*\.dist-info$/.test(name)
  for (const name of readdirSync(folder)) if (!isWanted(name)) rmSync(join(folder, name), { recursive: true, force: true })
  const torch = join(folder, 'torch')
  for (const name of readdirSync(torch))
    if (!['lib', 'include', 'version.py'].includes(name)) rmSync(join(torch, name), { recursive: true, force: true })
}

/**
 * Installs PyTorch's CUDA build, with the libraries of CUDA that it needs, in the cache and returns its folder. It comes by the user's pip,
 * which knows their proxies and mirrors. Throws ERR_LIBTORCH.
 */
export async function fetchCudaLibTorch({
  say,
  quiet = false,
}: {
  say: (line: string) => void
  quiet?: boolean
}): Promise<string> {
  const target = fetchedCudaFolder()
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw failure(
      `a CUDA build of LibTorch is fetched for linux-x64 alone, not for ${process.platform}-${process.arch}: point CLIP_ES_LIBTORCH to one`,
    )
  const python = pythonCommand()
  if (!python)
    throw failure(
      "PyTorch's CUDA build comes by pip, and there is no python3 on PATH: install Python with pip, or point CLIP_ES_LIBTORCH to a CUDA build",
    )
  ensureCacheFolder()
  removeLeftovers('tmp')
  const top = join(target, '..')
  const temporary = ownPath(basename(top), 'tmp')
  const cleanUp = () => rmSync(temporary, { recursive: true, force: true })
  process.once('exit', cleanUp) // Ctrl-C ends the process in the middle
  try {
    say(`Asking pip for torch ${cudaVersion} with CUDA: some 3 GB to fetch, ${roomNeeded} on the disk while it is unpacked`)
    mkdirSync(temporary)
    const install = async (...what: string[]) => {
      const reason = await pipInstall(python, temporary, what, quiet)
      if (reason === undefined) return
      throw failure(
        `pip did not install torch ${cudaVersion} with CUDA (${reason}): see to that (a connection, ${roomNeeded} of room) and run npx clip-es setup --cuda again`,
      )
    }
    await install(`torch==${cudaVersion}`, '--no-deps', ...anyPython)
    const libraries = cudaLibraries(temporary)
    if (libraries.length) await install(...libraries)
    if (!hasCuda(join(temporary, 'torch')))
      throw failure(
        `the torch ${cudaVersion} that pip installed has no libtorch_cuda.so: its index offers a CPU build alone; point CLIP_ES_LIBTORCH to a CUDA build`,
      )
    keepLibraries(temporary)
    if (!existsSync(top)) renameSync(temporary, top) // else another process was quicker
    say(`LibTorch with CUDA: ${target}`)
    return target
  } catch (error) {
    if (error instanceof ClipEsError) throw error
    throw failure(`a CUDA build of LibTorch could not be put into ${top}: ${innermostMessage(error)}`, error)
  } finally {
    cleanUp()
    process.off('exit', cleanUp)
  }
}
