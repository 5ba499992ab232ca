import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { addonFile, cacheFolder, installedCudaFolder, nearest } from 'clip-es/support'
import { type Check, ok, warning, wrong } from './check.js'

const variables = ['CLIP_ES_MODEL', 'CLIP_ES_LIBTORCH', 'CLIP_ES_CACHE', 'CLIP_ES_CUDA', 'CLIP_ES_CPU']
const ofTests = ['CLIP_ES_DATA', 'CLIP_ES_GOLDEN_FULL', 'CLIP_ES_SECOND_LIBTORCH', 'CLIP_ES_TEST_PYTHON', 'CLIP_ES_WERROR']

/** The variables that are set and begin with CLIP_ES_. */
export function environmentCheck(): Check {
  const name = 'variables'
  const set = Object.entries(process.env).filter(([key, value]) => key.startsWith('CLIP_ES_') && value)
  const values = Object.fromEntries(set.map(([key, value]) => [key, value as string]))
  const detail = Object.entries(values).map(([key, value]) => `${key}=${value}`)
  const unknown = set.map(([key]) => key).filter((key) => ![...variables, ...ofTests].includes(key))
  if (!unknown.length) return ok(name, detail.join(' ') || 'no CLIP_ES_… variable is set', values)
  const remedies = unknown.map((key) => {
    const meant = nearest(key, variables)
    return `clip-es does not know ${key}${meant ? `; did you mean ${meant}?` : ': unset it'}`
  })
  return warning(name, detail.join(' '), remedies.join('; '), values)
}

/** sharp, which reads photos and draws overlays: does it load, with every format? */
export function sharpCheck(): Check {
  const name = 'sharp'
  const remedy = 'install it again: npm install --include=optional sharp'
  try {
    const sharp = require('sharp') as typeof import('sharp')
    const { jpeg, png, webp, heif, tiff } = sharp.format
    const wanted = Object.entries({ JPEG: jpeg, PNG: png, WebP: webp, AVIF: heif, TIFF: tiff })
    const formats = wanted.filter(([, format]) => format?.input.buffer).map(([format]) => format)
    const missing = wanted.map(([format]) => format).filter((format) => !formats.includes(format))
    const values = { version: sharp.versions.sharp, libvips: sharp.versions.vips, formats }
    const detail = `${values.version} with libvips ${values.libvips}: ${formats.join(', ')}`
    if (missing.length) return wrong(name, `${detail}; not ${missing.join(', ')}`, remedy, values)
    return ok(name, detail, values)
  } catch (error) {
    return wrong(name, `it does not load: ${(error as Error).message.trim().split('\n')[0]}`, remedy)
  }
}

/** Which parts of device 'cuda' are installed. */
function cudaParts() {
  const addon = addonFile()
  const kernels = addon !== undefined && existsSync(join(dirname(addon), 'libclip_es_cuda.so'))
  return { kernels, libtorch: installedCudaFolder() !== undefined }
}

/** The NVIDIA GPUs that the driver reports, and whether device 'cuda' can be used. */
export function gpuCheck(): Check {
  const name = 'GPU'
  const parts = cudaParts()
  const lacking = [
    parts.kernels ? '' : 'its kernels (libclip_es_cuda.so)',
    parts.libtorch ? '' : 'a CUDA build of LibTorch (npx clip-es setup --cuda)',
  ].filter(Boolean)
  const use = lacking.length ? `device 'cuda' lacks ${lacking.join(' and ')}` : "device 'cuda' can be used"
  const query = ['--query-gpu=name,driver_version,memory.total', '--format=csv,noheader']
  const run = spawnSync('nvidia-smi', query, { encoding: 'utf8', timeout: 20_000 })
  if (run.error) return ok(name, "none found (no nvidia-smi); device 'auto' uses the CPU", { gpus: [], ...parts })
  if (run.status !== 0) {
    const said = `${run.stdout}${run.stderr}`.trim().split('\n')[0]
    return warning(name, `nvidia-smi fails: ${said}`, "the CPU works; repair the driver to use device 'cuda'", {
      gpus: [],
      ...parts,
    })
  }
  const gpus = run.stdout
    .trim()
    .split('\n')
    .filter((line) => line.includes(','))
    .map((line) => line.split(',').map((part) => part.trim()))
  const shown = gpus.map(([model, driver, memory]) => `${model}, ${memory}, driver ${driver}`).join('; ')
  return ok(name, `${shown || 'none'}; ${use}`, {
    gpus: gpus.map(([model, driver, memory]) => ({ model, driver, memory })),
    ...parts,
  })
}

/** A number of bytes for people. */
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`

function sizeOf(path: string): number {
  const info = statSync(path, { throwIfNoEntry: false })
  if (!info?.isDirectory()) return info?.size ?? 0
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => !entry.isSymbolicLink())
    .reduce((sum, entry) => sum + sizeOf(join(path, entry.name)), 0)
}

/** The folder itself, or the nearest one above it that exists. */
const existingFolder = (folder: string): string => (existsSync(folder) ? folder : existingFolder(dirname(folder)))

/** The folder in which set-up keeps what it fetched. */
export function cacheCheck(): Check {
  const name = 'cache'
  const folder = cacheFolder()
  try {
    accessSync(existingFolder(folder), constants.W_OK)
    if (!existsSync(folder)) return ok(name, `${folder}, which does not exist yet`, { folder, bytes: 0 })
    const bytes = sizeOf(folder)
    return ok(name, `${folder}, ${megabytes(bytes)}`, { folder, bytes })
  } catch (error) {
    const remedy = 'set CLIP_ES_CACHE to a folder that you may write'
    return warning(name, `${folder} cannot be used (${(error as Error).message})`, remedy, { folder })
  }
}
