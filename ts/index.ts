export { ClassSet } from './classes/class_set.js'
export { defaults, ignored } from './core/defaults.js'
export { ClipEsError, type ErrorCode } from './core/errors.js'
export type {
  CrfOptions,
  FailedItem,
  KeyOf,
  LabelledImage,
  MapMethod,
  ResultPart,
  SegmentAllOptions,
  SegmentedItem,
  SegmentItem,
  SegmentOptions,
  SegmentResult,
  SimilarityOptions,
  SimilarityPreset,
  SimilaritySettings,
  Timings,
} from './core/segment_types.js'
export type {
  Channels,
  ClassEntry,
  ClassFile,
  ClassSpec,
  Device,
  Embeddings,
  EmbeddingsOptions,
  EncodeClassesOptions,
  Fusion,
  ImageData,
  LoadOptions,
  ModelInfo,
  Precision,
  SharpImage,
} from './core/types.js'
export { type DenseCrfInput, type DenseCrfOptions, type DenseCrfResult, denseCrf } from './dense_crf.js'
export { EncodedImage } from './encoded_image.js'
export { similarityPresets } from './segment/similarity_presets.js'
export { Segmenter } from './segmenter.js'
export { backgrounds, classSets, templates } from './text/prompts.js'
export { tokenize } from './text/tokenizer.js'
