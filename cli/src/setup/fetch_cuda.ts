import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { ClipEsError } from 'clip-es'
import { cudaFolder, cudaVersion, hasCuda } from 'clip-es/support'
import { ensureCacheFolder, innermostMessage } from './causes.js'
import { removeLeftovers, unfinishedPath } from './own_files.js'
import { pythonCommand } from './python.js'

const roomNeeded = '8 GB'

const failure = (message: string, cause?: unknown): ClipEsError => new ClipEsError('ERR_LIBTORCH', message, { cause })

/** Options for a wheel of any Python: the libraries are the same in all of them. */
const anyPython = [
  ...['--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311', '--abi', 'abi3', '--abi', 'none'],
  ...['2_28', '2_27', '2_26', '2_25', '2_24', '2_17', '2014'].flatMap((glibc) => [
    '--platform',
    glibc === '2014' ? 'manylinux2014_x86_64' : `manylinux_${glibc}_x86_64`,
  ]),
]

/** Runs pip, which shows its own progress. Resolves to the reason if it fails, else to undefined. */
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

/** The CUDA packages that a torch wheel requires. Its other requirements have hundreds of megabytes, and only Python uses them. */
function cudaLibraries(folder: string): string[] {
  const info = readdirSync(folder).find((name) => /^torch-.*\.dist-info$/.test(name)) ?? ''
  const metadata = readFileSync(join(folder, info, 'METADATA'), 'utf8')
  return Array.from(metadata.matchAll(/^Requires-Dist: ((?:nvidia-|cuda-toolkit)[^;\n]*)/gm), ([, requirement = '']) =>
    requirement.trim(),
  )
}

/** Deletes all but torch's libraries and headers, CUDA's libraries and the licences. */
function keepLibraries(folder: string): void {
  const isWanted = (name: string) => name === 'torch' || /^nvidia/.test(name) || /^torch-.*\.dist-info$/.test(name)
  for (const name of readdirSync(folder)) if (!isWanted(name)) rmSync(join(folder, name), { recursive: true, force: true })
  const torch = join(folder, 'torch')
  for (const name of readdirSync(torch))
    if (!['lib', 'include', 'version.py'].includes(name)) rmSync(join(torch, name), { recursive: true, force: true })
}

/**
 * Installs PyTorch's CUDA build and the CUDA libraries that it needs in the cache, and returns its folder. Uses the user's pip, which is
 * configured for their proxies and mirrors. Throws ERR_LIBTORCH.
 */
export async function fetchCudaLibTorch({
  say,
  quiet = false,
}: {
  say: (line: string) => void
  quiet?: boolean
}): Promise<string> {
  const target = cudaFolder()
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw failure(
      `set-up fetches a CUDA build of LibTorch only for linux-x64, and this is ${process.platform}-${process.arch}: point CLIP_ES_LIBTORCH to a CUDA build`,
    )
  const python = pythonCommand()
  if (!python)
    throw failure(
      "set-up fetches PyTorch's CUDA build with pip, and there is no python3 on PATH: install Python with pip, or point CLIP_ES_LIBTORCH to a CUDA build",
    )
  ensureCacheFolder()
  removeLeftovers()
  const top = join(target, '..')
  const temporary = unfinishedPath(basename(top))
  const cleanUp = () => rmSync(temporary, { recursive: true, force: true })
  process.once('exit', cleanUp) // also after Ctrl-C
  try {
    say(`Asking pip for torch ${cudaVersion} with CUDA: about 3 GB to fetch, ${roomNeeded} on the disk while it is unpacked`)
    mkdirSync(temporary)
    const install = async (...what: string[]) => {
      const reason = await pipInstall(python, temporary, what, quiet)
      if (reason === undefined) return
      throw failure(
        `pip did not install torch ${cudaVersion} with CUDA (${reason}): check the connection and that ${roomNeeded} are free, then run npx clip-es setup --cuda again`,
      )
    }
    await install(`torch==${cudaVersion}`, '--no-deps', ...anyPython)
    const libraries = cudaLibraries(temporary)
    if (libraries.length) await install(...libraries)
    if (!hasCuda(join(temporary, 'torch')))
      throw failure(
        `the torch ${cudaVersion} that pip installed has no libtorch_cuda.so: its index has only a CPU build; point CLIP_ES_LIBTORCH to a CUDA build`,
      )
    keepLibraries(temporary)
    if (!existsSync(top)) renameSync(temporary, top) // else another process was faster
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
