import type { ClipEsError } from './errors.js'

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

/** What a result has besides the mask, if it is asked for. */
export type ResultPart = 'confidence' | 'cams'

/** Settings of the dense CRF; the defaults are the paper's. */
export interface CrfOptions {
  /** Of mean-field inference. Default 10. */
  rounds?: number
  /** Reach of the position kernel in pixels, and its weight. Default 1 and 3. */
  positionSigma?: number
  positionWeight?: number
  /** Reach of the bilateral kernel in pixels and in colour levels of 255, and its weight. Default 67, 3 and 4. */
  bilateralPositionSigma?: number
  bilateralColourSigma?: number
  bilateralWeight?: number
  /** Repeat the released pipeline's photo: BGR less Caffe's mean colour, cast to bytes, so that dark values wrap. Default false. */
  released?: boolean
}

/** How the maps are made: by softmax-GradCAM, as in the CLIP-ES paper, or by comparing every patch with all words at once. */
export type MapMethod = 'gradcam' | 'similarity'

/** A published method: a row of settings. 'clip' changes nothing in the model. */
export type SimilarityPreset = 'clip' | 'naclip' | 'resclip' | 'sc-clip'

/** Maps by similarity: a preset, and settings that replace its own. docs/maps.md explains the methods. */
export interface SimilarityOptions {
  /** Default 'naclip'. */
  preset?: SimilarityPreset
  /** The last block's attention: of queries to keys, as CLIP was trained, or of keys to keys. */
  attention?: 'query' | 'key'
  /** Standard deviation of a Gaussian that makes near patches attend to each other, in patches. 0: none. */
  neighbourhood?: number
  /** The last block's residual connection. */
  residual?: boolean
  /** The last block's feed-forward layers. */
  feedForward?: boolean
  /** Whether the class token takes part in the last attention. */
  attendClass?: boolean
  /** ResCLIP: share of the attention of earlier blocks in the last one, from 0 to 1. 0: none. */
  mix?: number
  /** ResCLIP: the factor of the mixed attention. */
  mixFactor?: number
  /** SC-CLIP: share of the patches that are outliers and are repaired from their neighbours. 0: none. */
  repair?: number
  /** SC-CLIP: half of the last attention is the similarity of patches in a middle block. */
  midAttention?: boolean
  /** SC-CLIP: patches average those that are similar in middle blocks, before and after the last block. */
  aggregate?: boolean
  /** SC-CLIP: adds the features of the middle blocks. */
  fuse?: boolean
  /** SC-CLIP: share of the class token that is added to every patch. 0: none. */
  classToken?: number
  /** Factor of the cosines in the softmax over all words: the larger, the surer. Default 40. */
  logitScale?: number
  /** Side of the windows that slide over the photo, in pixels, rounded up to whole patches. 224 in the papers. Default 0: the whole photo at once. */
  window?: number
  /** Pixels from one window to the next, rounded down to whole patches. Default 0: half a window. */
  stride?: number
}

/** All settings of a preset. */
export type SimilaritySettings = Required<Omit<SimilarityOptions, 'preset'>>

export interface SegmentOptions {
  /**
   * The image-level labels, as names or indices: which classes are there. Unique, at least one. Default: all. With 'auto', CLIP decides
   * for each photo which classes are there, maybe none; the class set needs background words.
   */
  labels?: readonly (string | number)[] | 'auto'
  /** For labels 'auto': a class is found if its presence is at least this, from 0 to 1. Default: each class's own, else 0.15. */
  labelThreshold?: number
  /**
   * How the maps are made. 'gradcam' (default): one map for each label that is known to be there, scaled from 0 to 1. 'similarity' or its
   * settings: probabilities of all words at every pixel, so that an absent word stays low; only on the CPU.
   */
  maps?: MapMethod | SimilarityOptions
  /** Sharpen the maps by the ViT's own attention (CAA). Default true. */
  refine?: boolean
  /** Threshold of the boxes that CAA draws evidence from, as a fraction of a map's maximum: 0.4 (VOC, default), 0.7 for COCO. */
  boxThreshold?: number
  /** background = (1 - largest map) ^ backgroundPower; with maps 'similarity', the background words' probability ^ backgroundPower. Default 1. */
  backgroundPower?: number
  /** Let a dense CRF draw the mask along the photo's edges; its winning probability is then the confidence. Default false. */
  crf?: boolean | CrfOptions
  /** Pixels with a confidence under this become 255. Default 0. */
  ignoreBelow?: number
  /** What the result has besides the mask. Default: nothing. */
  include?: readonly ResultPart[]
  /** Your own memory to fill, each part exactly as long as its result; a part given here need not be in `include`. */
  output?: { mask?: Uint8Array; confidence?: Float32Array; cams?: Float32Array }
  signal?: AbortSignal
}

/** Milliseconds that each stage took. With labels 'auto', those of the photo and of the crops that were encoded to find them are added. */
export interface Timings {
  /** Waiting for earlier jobs. */
  queue: number
  /** Resizing and normalising pixels. */
  preprocess: number
  /** The image tower. */
  encode: number
  /** Softmax-GradCAM, or the comparison of patches with words. */
  gradcam: number
  /** Boxes and attention-based refinement. */
  refine: number
  /** Maps at the photo's size and the mask. */
  mask: number
  /** The dense CRF. */
  crf: number
}

export interface SegmentResult {
  width: number
  height: number
  /** The labels asked for or found, K of them. */
  labels: string[]
  /**
   * Their probabilities (K) in the softmax over them and the background texts. With maps 'similarity': the largest probability that each
   * has at any patch.
   */
  scores: Float32Array
  /** With labels 'auto' only: how sure it is that each of the K labels is there, in [0, 1]. */
  presence?: Float32Array
  /** height * width: 0 background, c + 1 the class `classes.names[c]`, 255 ignored. Always there. */
  mask: Uint8Array
  /** height * width: the winning score of background and maps. */
  confidence?: Float32Array
  /** K * height * width, in [0, 1]: the maps the mask is made from. */
  cams?: Float32Array
  timings: Timings
}

/** An image with its own labels and its own name in the results. */
export interface LabelledImage<Key = unknown> {
  image: ImageData | SharpImage
  /** Instead of the options' labels. */
  labels?: SegmentOptions['labels']
  /** What the result is called, such as a file name. Default: the item's index. */
  key?: Key
}

/** What `Segmenter.segmentAll` takes. */
export type SegmentItem = ImageData | SharpImage | LabelledImage

/** The key that an item's result has: its own, else its index. */
export type KeyOf<Item> = Item extends LabelledImage
  ? Item extends { key: infer Key }
    ? Exclude<Key, undefined> | (undefined extends Key ? number : never)
    : 'key' extends keyof Item
      ? Exclude<Item['key'], undefined> | number
      : number
  : number

export interface SegmentAllOptions extends Omit<SegmentOptions, 'output'> {
  /**
   * What to do when an item fails, for example because its image is wrong or memory runs out. 'throw' ends the loop with the error;
   * 'yield' gives `{ key, error }` and goes on. An abort, a closed segmenter and an error of the source always end the loop. Default 'throw'.
   */
  onError?: 'throw' | 'yield'
}

/** The result of an item. */
export interface SegmentedItem<Key = number> extends SegmentResult {
  key: Key
}

/** The failure of an item; `'error' in result` tells it from a result. */
export interface FailedItem<Key = number> {
  key: Key
  error: ClipEsError
}
