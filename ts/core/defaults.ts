import type { SimilarityPreset } from './segment_types.js'
import type { Fusion, Precision } from './types.js'

/** What the library uses where an option is left out. */
export const defaults = Object.freeze({
  /** Largest number of pixels of an image. */
  maxPixels: 100e6,
  /** Longest side that enters the network. */
  maxSide: 1024,
  /** How many jobs may wait. */
  maxQueue: 256,
  /** How synonyms become one class. */
  fusion: 'sentence' as Fusion,
  /** The paper's for VOC, as a fraction of a map's maximum. `classSets.coco.boxThreshold` is the one for COCO. */
  boxThreshold: 0.4,
  /** background = (1 - largest map) ^ power */
  backgroundPower: 1,
  /** Pixels where no map is larger become background. */
  backgroundBelow: 0,
  /** What maps: 'similarity' means. */
  similarityPreset: 'naclip' as SimilarityPreset,
  /** Labels with a lower score get no pixels. */
  minScore: 0,
  /** Pixels with a lower confidence are ignored. */
  ignoreBelow: 0,
  /** Labels 'auto' finds a class from this presence on. Chosen on generated scenes: bench/auto_labels.ts. */
  labelThreshold: 0.15,
})

export const fusions: readonly Fusion[] = ['sentence', 'feature', 'cam']
export const precisions: readonly Precision[] = ['auto', 'float32', 'bfloat16', 'int8']
/** One byte of a mask holds 0 for background, 255 for ignored, and the classes. */
export const mostClasses = 254
/** The value of ignored pixels: in a mask those of low confidence, in VOC's ground truth the borders of objects. */
export const ignored = 255
