export { ClassSet } from './class_set.js'
export { defaults } from './defaults.js'
export { type DenseCrfInput, type DenseCrfOptions, type DenseCrfResult, denseCrf } from './dense_crf.js'
export { EncodedImage } from './encoded_image.js'
export { ClipEsError, type ErrorCode } from './errors.js'
export { ignored } from './mask.js'
export { Segmenter } from './segmenter.js'
export { backgrounds, classSets, templates } from './text/prompts.js'
export { tokenize } from './text/tokenizer.js'
export type {
  Channels,
  ClassEntry,
  ClassFile,
  ClassSpec,
  CrfOptions,
  Device,
  Embeddings,
  EmbeddingsOptions,
  EncodeClassesOptions,
  FailedItem,
  Fusion,
  ImageData,
  KeyOf,
  LabelledImage,
  LoadOptions,
  ModelInfo,
  Precision,
  ResultPart,
  SegmentAllOptions,
  SegmentedItem,
  SegmentItem,
  SegmentOptions,
  SegmentResult,
  SharpImage,
  Timings,
} from './types.js'
