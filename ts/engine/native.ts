import { ClipEsError, fromNative } from '../core/errors.js'
import type { CrfOptions, SimilaritySettings, Timings } from '../core/segment_types.js'
import { packageFolder } from '../files/package_folder.js'

/** Pixels as the add-on takes them: checked, with their layout. */
export interface NativeImage {
  data: Uint8Array | Uint8ClampedArray
  width: number
  height: number
  /** Bytes per pixel: 1 (grey), 3 (RGB) or 4 (RGBA, or BGRA if blueFirst). */
  channels: number
  /** From one row to the next. */
  rowBytes: number
  blueFirst: boolean
}

/** The texts of one image's softmax. Label k owns rows firstRow[k] to firstRow[k + 1] - 1. */
export interface NativeTexts {
  /** R * embedding, unit rows. */
  rows: Float32Array
  /** K + 1. */
  firstRow: Int32Array
  /** M * embedding, unit rows. */
  background: Float32Array
  /** K: what the mask holds for each label. */
  values: Uint8Array
}

export type NativeCrfSettings = Required<CrfOptions>

export interface NativeSettings {
  /** How maps are made by similarity, or undefined for GradCAM. */
  maps: SimilaritySettings | undefined
  scales: Float64Array
  flip: boolean
  refine: boolean
  boxThreshold: number
  minScore: number
  backgroundPower: number
  backgroundBelow: number
  ignoreBelow: number
  crf: NativeCrfSettings | undefined
}

export interface NativeOutputs {
  scores: Float32Array
  mask?: Uint8Array
  confidence?: Float32Array
  cams?: Float32Array
}

export interface NativeModel {
  patch: number
  width: number
  layers: number
  resolution: number
  embedding: number
  logitScale: number
  context: number
  vocabulary: number
  /** Of the image tower. */
  heads: number
  activation: 'quickgelu' | 'gelu'
  assumedActivation: boolean
  assumedHeads: boolean
  fingerprint: string
  precision: 'float32' | 'bfloat16' | 'int8'
  /** 'cpu' or 'cuda:N'. */
  device: string
  weightsFrom: 'archive' | 'memory' | 'file'
  /** Why the weights file could not be read or written, or ''. */
  weightsFailure: string
}

/** Keeps a photo's features until it is disposed or collected. */
export interface NativeEncodedImage {
  readonly gridWidth: number
  readonly gridHeight: number
  readonly timings: Timings
  dispose(): void
}

/** Native threads with their queue. `id` names a job, for cancel(); a cancelled job rejects with code 'CANCELLED'. */
export interface NativeSegmenter {
  /** maxSide 0: no limit. */
  open(
    id: number,
    /** The folder of a LibTorch, or '' for none. */
    libtorch: string,
    archive: string,
    settings: {
      device: string
      precision: 'float32' | 'bfloat16' | 'int8'
      threads: number
      maxSide: number
      concurrency: number
      maxBatch: number
      /** Milliseconds. */
      maxDelay: number
      /** '' for none. */
      weightsFolder: string
      priority: 'low' | 'normal'
    },
  ): Promise<NativeModel>
  /** tokens (T * context) -> embeddings (T * embedding), filled in place. */
  encodeText(id: number, tokens: Int32Array, embeddings: Float32Array): Promise<void>
  encode(id: number, image: NativeImage): Promise<NativeEncodedImage>
  /** image (embedding) and patches (gridHeight * gridWidth * embedding), filled in place. */
  embeddings(id: number, encoded: NativeEncodedImage, image: Float32Array, patches: Float32Array | undefined): Promise<void>
  /** boxes (crops * 4: left, top, right, bottom in pixels) -> embeddings (crops * embedding), filled in place. One batch. */
  embedCrops(id: number, image: NativeImage, boxes: Int32Array, embeddings: Float32Array): Promise<Timings>
  segment(
    id: number,
    image: NativeImage | NativeEncodedImage,
    texts: NativeTexts,
    settings: NativeSettings,
    outputs: NativeOutputs,
  ): Promise<Timings>
  /** Waiting jobs reject with ERR_CLOSED, the running one ends, then the memory is given back. */
  close(id: number): Promise<void>
  cancel(id: number): void
}

/** The dense CRF by itself, on a native thread of its own. */
export interface NativeCrf {
  run(
    id: number,
    input: { rgb: Uint8Array | Uint8ClampedArray; width: number; height: number; scores: Float32Array; labels: number },
    settings: NativeCrfSettings,
    outputs: { marginals: Float32Array; mask: Uint8Array; confidence: Float32Array },
  ): Promise<void>
  cancel(id: number): void
}

interface Addon {
  Crf: new (threads: number) => NativeCrf
  Segmenter: new () => NativeSegmenter
  /** True for the first call in this process, whichever thread makes it. */
  isFirst(): boolean
  /** True if the CPU multiplies tiles of bfloat16, which oneDNN uses. */
  hasAmx(): boolean
  /** True if the kernels in use multiply bfloat16 by instructions of the CPU. */
  multipliesBfloat16(): boolean
  /** CPU cores that this process may use: obeys its affinity and the CPU limit of its container. */
  usableCores(): number
}

let addon: Addon | undefined

/** The compiled add-on: build/Release of a checkout, else the prebuild for this platform. */
function loadAddon(): Addon {
  addon ??= openAddon()
  return addon
}

/** The file of the add-on that is loaded, or undefined if there is none for this platform. */
export function addonFile(): string | undefined {
  const { resolve } = require('node-gyp-build') as { resolve(folder: string): string }
  try {
    return resolve(packageFolder())
  } catch {
    return undefined
  }
}

function openAddon(): Addon {
  const load = require('node-gyp-build') as (folder: string) => Addon
  const folder = packageFolder()
  try {
    return load(folder)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
    const message =
      addonFile() === undefined
        ? `there is no native add-on for ${process.platform} ${process.arch}: use a platform that the README lists, or build the add-on in a checkout with npm install`
        : `the native add-on does not load (${why}): install clip-es again, or run npx clip-es doctor, which says what is missing`
    throw new ClipEsError('ERR_LIBTORCH', message, { cause })
  }
}

/** True for the first call in this process, worker threads included; without an add-on, in this thread. */
export function isFirstInProcess(): boolean {
  try {
    return loadAddon().isFirst()
  } catch {
    return true // loading a model will say why
  }
}

/** True if LibTorch makes this CPU's products in bfloat16 faster. Throws ERR_LIBTORCH without an add-on. */
export const hasAmx = (): boolean => loadAddon().hasAmx()

/** True if bfloat16 is fast on this CPU. Throws ERR_LIBTORCH without an add-on. */
export const multipliesBfloat16 = (): boolean => loadAddon().multipliesBfloat16()

/** Cores that this process may use. Throws ERR_LIBTORCH without an add-on. */
export const usableCores = (): number => loadAddon().usableCores()

/** A native object of its own thread. Throws ERR_OUT_OF_MEMORY where the system starts no further thread, ERR_LIBTORCH without an add-on. */
export function create<T>(make: (addon: Addon) => T): T {
  const loaded = loadAddon()
  try {
    return make(loaded)
  } catch (error) {
    throw fromNative(error)
  }
}
