import type { ClipEsError } from './errors.js'
import type { ImageData, SharpImage } from './types.js'

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
  /** For labels 'auto': a class is found whose presence is at least this, from 0 to 1. Default: each class's own, else 0.15. */
  labelThreshold?: number
  /**
   * How the maps are made. 'gradcam' (default): one map for each label that is known to be there, scaled from 0 to 1. 'similarity' or its
   * settings: probabilities of all words at every pixel, so that an absent word stays low.
   */
  maps?: MapMethod | SimilarityOptions
  /**
   * Up to 16 scales of the photo, from 0.25 to 4. The photo is segmented at each, and the maps, at the photo's size, are averaged. The times
   * add up. A scale is relative to the photo as `maxSide` reduces it, and no scale makes it larger than `maxSide`. Default [1].
   */
  scales?: readonly number[]
  /** Also average the maps of the mirrored photo, at each scale. Default false. */
  flip?: boolean
  /** Sharpen the maps by the ViT's own attention (CAA). Default true. */
  refine?: boolean
  /** Threshold of the boxes that CAA draws evidence from, as a fraction of a map's maximum: 0.4 (VOC, default), 0.7 for COCO. */
  boxThreshold?: number
  /**
   * A label whose score (`SegmentResult.scores`) is below this gets no pixels, and its map is 0. Most useful with maps 'similarity', where
   * absent words have low scores. From 0 to 1. Default 0.
   */
  minScore?: number
  /** background = (1 - largest map) ^ backgroundPower; with maps 'similarity', the background words' probability ^ backgroundPower. Default 1. */
  backgroundPower?: number
  /**
   * A pixel where no label's map is larger than this becomes background: the background's score is at least this, also for the CRF. With maps
   * 'similarity' it is the probability that a label needs. From 0 to 1. Default 0.
   */
  backgroundBelow?: number
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

/**
 * Milliseconds that each stage took, at all scales together. With labels 'auto', those of the photo and of the crops that were encoded to
 * find them are added.
 */
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
   * Their probabilities (K) in the softmax over them and the background texts, averaged over scales and the mirrored photo. With maps
   * 'similarity': the largest value of each label's map.
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
