// What the command `clip-es` and the server need of the library in addition to its main entry point.

export { planClasses, planRows } from '../classes/class_set.js'
export { type CompetingTexts, competingTexts, textProbabilities } from '../classes/text_scores.js'
export { allocate } from '../core/allocate.js'
export { show, unknownWord } from '../core/check.js'
export { fusions, mostClasses, precisions } from '../core/defaults.js'
export { invalid } from '../core/errors.js'
export { forEachInOrder, inOrder } from '../core/in_order.js'
export { nearest } from '../core/nearest.js'
export { resolveCrfOptions } from '../engine/crf_options.js'
export { physicalCores } from '../engine/load_options.js'
export { embeddedModel, resolveModelPath } from '../engine/model_path.js'
export { addonFile, hasAmx } from '../engine/native.js'
export { packageFolder, packageVersion } from '../files/package_folder.js'
export { readRegular, readRegularSync } from '../files/read_regular.js'
export { checkNameLength, replaceable, writeAllWhole, writeWhole } from '../files/write_whole.js'
export {
  hasCuda,
  installedCudaFolder,
  installedLibTorch,
  isTooOld,
  type LibTorch,
  libraryFile,
  oldestVersion,
  type PythonRecord,
  readVersion,
} from '../libtorch/find.js'
export { cacheFolder, cudaFolder, cudaVersion, pythonRecord } from '../libtorch/paths.js'
export { escapeXml, percent } from '../photos/legend.js'
export { type OwnPicture, ownPicture, photoOfMask, sourceOfMask, withMark } from '../photos/mark.js'
export { resolveSegmentOptions } from '../segment/segment_options.js'
export { fillTemplate } from '../text/prompts.js'
export { encodePrompt } from '../text/tokenizer.js'
