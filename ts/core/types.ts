/** The order of a pixel's bytes. Alpha is dropped. */
export type Channels = 'grey' | 'rgb' | 'rgba' | 'bgra'

/** 8-bit pixels, row by row. */
export interface ImageData {
  /** height rows of rowBytes bytes. The padding of the last row may be missing. Not shared, resizable or detached. */
  data: Uint8Array | Uint8ClampedArray
  width: number
  height: number
  /** Or 1, 3 or 4 as in sharp's `info.channels`: grey, RGB or RGBA. Default: grey, RGB or RGBA, depending on the number of bytes. */
  channels?: Channels | 1 | 3 | 4
  /** Bytes from the start of one row to the start of the next, if the rows are padded. Needs `channels`. Default: tightly packed rows. */
  rowBytes?: number
}

/** The result of sharp's `raw().toBuffer({ resolveWithObject: true })`. */
export interface SharpImage {
  data: Uint8Array | Uint8ClampedArray
  info: { width: number; height: number; channels: number }
}

export type Device = 'auto' | 'cpu' | 'cuda' | `cuda:${number}`
export type Precision = 'auto' | 'float32' | 'bfloat16' | 'int8'

export interface LoadOptions {
  /**
   * The model's archive, such as OpenAI's ViT-B-16.pt: a path or a file URL. Default: $CLIP_ES_MODEL, else the embedded demo model, which
   * knows emoji scenes and not photographs; a process warning says so.
   */
  model?: string | URL
  /** Where to compute. Default 'auto': the CPU, as results on GPUs have not been measured yet. */
  device?: Device
  /**
   * Arithmetic of the image tower's matrix products. Default 'auto': bfloat16 where the processor multiplies it natively, else float32.
   * 'int8' (processors alone): 8-bit integers in the linear layers of all blocks but the last, bfloat16 elsewhere.
   */
  precision?: Precision
  /** Threads of this segmenter, shared by the photos it computes at a time. Default: the physical cores. */
  threads?: number
  /**
   * Photos, or batches of them, that are computed side by side when several wait, each with its share of the threads: more photos a
   * second, each of which takes longer, and a workspace for each. Default: 2 on a GPU, else 4 or as many as `threads`, if fewer.
   */
  concurrency?: number
  /**
   * Photos that wait at the same time and share one pass through the network, whose results may then differ from a photo's alone in the
   * last digits. Default: 16 on a GPU, else 1, as a processor gains little by it.
   */
  maxBatch?: number
  /** Milliseconds for which a photo waits for others to fill its batch. Default 0: those that wait already. */
  maxDelay?: number
  /** How many jobs may wait for the running ones before calls reject with ERR_QUEUE_FULL. Default 256. */
  maxQueue?: number
  /** Images with more pixels are refused. Default `defaults.maxPixels`: 100e6. */
  maxPixels?: number
  /** Longest side that enters the network; larger photos are reduced first, masks still come at the photo's size. Default 1024; Infinity: never reduced, as in the paper. */
  maxSide?: number
  /**
   * A folder for files of prepared weights, a path or a file URL; it is created if needed. The first load of an archive writes a file there.
   * Later loads map it: they take milliseconds, and processes that use the same file share its memory. Only trusted users may write to the
   * folder. Ignored on a GPU. Default: none. Segmenters of one process share weights without it.
   */
  weightsFolder?: string | URL
  /**
   * Priority of the computing threads. Default 'low': the event loop and other programs come first when all cores are busy. 'normal': all
   * threads are equal. A system without such priorities ignores it.
   */
  priority?: 'low' | 'normal'
  signal?: AbortSignal
}

export interface ModelInfo {
  /** The archive's path. */
  readonly path: string
  /** True for the embedded model, which knows emoji scenes and not photographs. */
  readonly demo: boolean
  /** Side of a patch in pixels. */
  readonly patch: number
  /** Of the image tower: channels and transformer blocks. */
  readonly width: number
  readonly layers: number
  /** Attention heads of each block of the image tower. */
  readonly heads: number
  readonly activation: 'quickgelu' | 'gelu'
  /** What a bare state dict does not say, and was assumed to be as in OpenAI's models. Empty for every other archive. */
  readonly assumed: readonly ('activation' | 'heads')[]
  /** Side in pixels of the square images the model was trained on. */
  readonly resolution: number
  /** Length of a text's or an image's embedding. */
  readonly embedding: number
  /** Tokens of a prompt, start and end included. */
  readonly context: number
  /** What computes: 'cpu' or 'cuda:N'. */
  readonly device: string
  readonly precision: 'float32' | 'bfloat16' | 'int8'
  /** Where the weights came from: the archive, another segmenter of this process, or a file in LoadOptions.weightsFolder. */
  readonly weightsFrom: 'archive' | 'memory' | 'file'
  /** Photos that are computed at a time when several wait: LoadOptions.concurrency times maxBatch. */
  readonly photosAtATime: number
  /** Identifies the weights: archives with equal weights have equal fingerprints, whatever their names. */
  readonly fingerprint: string
}

/** A class: its name, or its entry of a class file, with the words that stand for it in prompts. The colour is only for palettes. */
export type ClassSpec = string | ClassEntry

/** How synonyms become one class (paper, section 3.2): joined in one prompt, averaged as embeddings, or averaged as CAMs. */
export type Fusion = 'sentence' | 'feature' | 'cam'

/** A class of a class file. */
export interface ClassEntry {
  readonly name: string
  /** The words that stand for it in prompts, instead of the name. */
  readonly synonyms?: readonly string[]
  /** `#rrggbb` or `#rgb`, in palettes and overlays. */
  readonly colour?: string
  /** For labels 'auto': the class is found if its presence is at least this, from 0 to 1. Default `defaults.labelThreshold`. */
  readonly labelThreshold?: number
}

/** What `--class-file` reads: the classes, and what else the user wants to keep with them. */
export interface ClassFile {
  /** With exactly one `{}` each. */
  readonly template?: string | readonly string[]
  readonly fusion?: Fusion
  /** From 0 to below 1. */
  readonly boxThreshold?: number
  readonly background?: readonly string[]
  /** 1 to 254, their names unique. */
  readonly classes: readonly ClassEntry[]
}

export interface EncodeClassesOptions {
  /** With exactly one `{}` each. Several: their unit embeddings are averaged. Default 'a clean origami {}.'. */
  template?: string | readonly string[]
  /** Words the classes compete with. Default `backgrounds.voc`. */
  background?: readonly string[]
  /** Default 'sentence'. */
  fusion?: Fusion
  signal?: AbortSignal
}

export interface EmbeddingsOptions {
  /** Each patch's, too. Default false. */
  patches?: boolean
  signal?: AbortSignal
}

/** Unit vectors of `model.embedding` numbers: their product with a text's, times `logitScale`, is the text's logit. */
export interface Embeddings {
  logitScale: number
  image: Float32Array
  /** grid.height * grid.width rows. */
  patches?: Float32Array
}
