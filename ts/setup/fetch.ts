import { existsSync, renameSync, rmSync } from 'node:fs'
import { basename } from 'node:path'
import { ClipEsError } from '../errors.js'
import { ensureCacheFolder, innermostMessage, remedyFor } from './causes.js'
import { download } from './download.js'
import { libraryFile, oldestVersion } from './find.js'
import { glibcVersion } from './glibc.js'
import { claimLeftover, ownPath, removeLeftovers } from './own_files.js'
import { cacheFolder, fetchedFolder, fetchedVersion, withoutPassword } from './paths.js'
import { pipDownload } from './pip.js'
import { megabytes, progressBar } from './progress.js'
import { sha256Of, unpackWheel } from './wheel.js'

/** A wheel with LibTorch inside. */
export interface Wheel {
  file: string
  sha256: string
}

/** The CPU build that this version of the package was tested with. */
export const pinnedWheel: Wheel = {
  file: `torch-${fetchedVersion}+cpu-cp311-cp311-manylinux_2_28_x86_64.whl`,
  sha256: '6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b',
}
const officialUrl = 'https://download.pytorch.org/whl/cpu'

export interface FetchOptions {
  say: (line: string) => void
  quiet?: boolean
  wheel?: Wheel
}

interface Fetched {
  file: string
  from: string
}

const failure = (message: string, cause?: unknown): ClipEsError => new ClipEsError('ERR_LIBTORCH', message, { cause })

function requireSupportedPlatform(): void {
  const libc = glibcVersion() ? 'glibc' : 'musl'
  if (process.platform === 'linux' && process.arch === 'x64' && libc === 'glibc') return
  throw failure(
    `no LibTorch is fetched for ${process.platform}-${process.arch} (${libc}), only for linux-x64 with glibc: ` +
      `install PyTorch ${oldestVersion} or newer for the python3 on PATH, or point CLIP_ES_LIBTORCH to a LibTorch, and run npx clip-es setup again`,
  )
}

async function fromUrl(wheel: Wheel, { say, quiet = false }: FetchOptions): Promise<Fetched> {
  const base = (process.env.CLIP_ES_LIBTORCH_URL || officialUrl).replace(/\/+$/, '')
  const url = `${base}/${encodeURIComponent(wheel.file)}`
  if (!URL.canParse(url))
    throw failure(`CLIP_ES_LIBTORCH_URL is ${base}, which is no address: set it to one such as ${officialUrl}, or unset it`)
  const shown = withoutPassword(url)
  const file = ownPath(wheel.file, 'part')
  let resumed = claimLeftover(wheel.file, 'part')
  for (;;) {
    say(`${resumed ? 'Resuming' : 'Starting'} the download of ${shown}`)
    const progress = progressBar(quiet)
    await download(url, file, progress).finally(() => progress.stop())
    const sha256 = await sha256Of(file)
    if (sha256 === wheel.sha256) return { file, from: shown }
    rmSync(file)
    if (!resumed)
      throw failure(
        `what ${shown} sent has the SHA-256 ${sha256}, not ${wheel.sha256}, and was deleted: look for a proxy or mirror that alters files, then run npx clip-es setup again`,
      )
    say('The resumed file has a wrong checksum')
    resumed = false
  }
}

async function fromPip(wheel: Wheel, { say }: FetchOptions): Promise<Fetched> {
  const folder = ownPath('pip', 'tmp')
  const requirement = `torch==${fetchedVersion}+cpu`
  const index = ['--extra-index-url', officialUrl]
  const pinned = ['--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311', '--platform', 'manylinux_2_28_x86_64']
  say(`Asking pip for ${requirement}, which takes a while`)
  let result = await pipDownload(requirement, [...index, ...pinned], folder)
  // A build for another Python holds the same libraries. Never a torch that is not marked +cpu: it may need gigabytes of CUDA libraries.
  if ('reason' in result) result = await pipDownload(requirement, index, folder)
  if ('reason' in result) throw failure(`pip has no ${requirement}: ${result.reason}`)
  const isPinned = (await sha256Of(result.wheel)) === wheel.sha256
  const judged = isPinned ? 'checksum as pinned' : `another build than ${wheel.file}: its files are compared with its own RECORD`
  return { file: result.wheel, from: `pip (${basename(result.wheel)}, ${judged})` }
}

async function fetchWheel(wheel: Wheel, options: FetchOptions): Promise<Fetched> {
  try {
    return await fromUrl(wheel, options)
  } catch (error) {
    // A wrong checksum is final, and an address that the user gave is not replaced by another source.
    if (error instanceof ClipEsError || process.env.CLIP_ES_LIBTORCH_URL) throw error
    options.say(`The download failed: ${innermostMessage(error)}`)
    return await fromPip(wheel, options).catch((pipError: unknown) => {
      throw failure(
        `neither the download (${innermostMessage(error)}) nor pip worked (${innermostMessage(pipError)}): ${remedyFor(error)}`,
        error,
      )
    })
  }
}

/** Puts the unpacked folder in its place. Where another process was quicker, its copy stays and ours goes. */
function publish(unpacked: string, target: string): void {
  try {
    renameSync(unpacked, target)
  } catch (error) {
    if (!existsSync(target)) throw error
    if (libraryFile(target)) return
    rmSync(target, { recursive: true, force: true })
    renameSync(unpacked, target)
  }
}

async function unpackAndPublish(fetched: Fetched, say: FetchOptions['say']): Promise<string> {
  const target = fetchedFolder()
  const temporary = ownPath(basename(target), 'tmp')
  const cleanUp = () => rmSync(temporary, { recursive: true, force: true })
  process.once('exit', cleanUp) // Ctrl-C ends the process in the middle
  try {
    const bytes = await unpackWheel(fetched.file, temporary)
    if (!libraryFile(temporary))
      throw failure(`${basename(fetched.file)} holds no torch/lib/libtorch_cpu.so: it is no torch wheel for Linux`)
    publish(temporary, target)
    say(`LibTorch from ${fetched.from}: ${megabytes(bytes)} in ${target}`)
    return target
  } finally {
    cleanUp()
    process.off('exit', cleanUp)
  }
}

/**
 * Fetches LibTorch into the cache and returns its folder. The wheel comes from PyTorch's server ($CLIP_ES_LIBTORCH_URL: from
 * a mirror), or through the user's pip when that server cannot be reached. An interrupted download is resumed by the next call.
 * Throws ERR_LIBTORCH.
 */
export async function fetchLibTorch(options: FetchOptions): Promise<string> {
  requireSupportedPlatform()
  const wheel = options.wheel ?? pinnedWheel
  ensureCacheFolder()
  try {
    removeLeftovers('tmp')
    const fetched = await fetchWheel(wheel, options)
    const folder = await unpackAndPublish(fetched, options.say)
    rmSync(fetched.file, { force: true })
    rmSync(ownPath(wheel.file, 'part'), { force: true })
    return folder
  } catch (error) {
    if (error instanceof ClipEsError) throw error
    const from = process.env.CLIP_ES_LIBTORCH_URL ? ` from ${withoutPassword(process.env.CLIP_ES_LIBTORCH_URL)}` : ''
    throw failure(
      `LibTorch could not be fetched${from} into ${cacheFolder()} (${innermostMessage(error)}): ${remedyFor(error)}`,
      error,
    )
  } finally {
    rmSync(ownPath('pip', 'tmp'), { recursive: true, force: true })
  }
}
