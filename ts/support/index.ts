// What the command `clip-es` and the server need of the library in addition to its main entry point.
export { allocate } from '../allocate.js'
export { show, unknownWord } from '../check.js'
export { planClasses, planRows } from '../class_set.js'
export { resolveCrfOptions } from '../crf_options.js'
export { fusions, mostClasses, precisions } from '../defaults.js'
export { invalid } from '../errors.js'
export { packageFolder, packageVersion } from '../files/package_folder.js'
export { readRegular, readRegularSync } from '../files/read_regular.js'
export { checkNameLength, replaceable, writeAllWhole, writeWhole } from '../files/write_whole.js'
export { decodeBrush, encodeBrush } from '../formats/brush_rle.js'
export { encodeCams } from '../formats/cams.js'
export {
  type LabelStudioLabel,
  type LabelStudioPrediction,
  type LabelStudioRegion,
  type LabelStudioTool,
  labelStudioPrediction,
  labelStudioRegions,
} from '../formats/label_studio.js'
export { type NdArray, npyFile, numbersOf, readNpy, readNpyHead } from '../formats/npy.js'
export { encodeNpz } from '../formats/npz.js'
export { mostZipBytes } from '../formats/stored_zip.js'
export { forEachInOrder, inOrder } from '../in_order.js'
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
export { physicalCores } from '../load_options.js'
export { embeddedModel, resolveModelPath } from '../model_path.js'
export { addonFile, hasAmx } from '../native.js'
export { nearest } from '../nearest.js'
export { escapeXml, percent } from '../photos/legend.js'
export { type OwnPicture, ownPicture, photoOfMask, sourceOfMask, withMark } from '../photos/mark.js'
export { resolveSegmentOptions } from '../segment_options.js'
export { fillTemplate } from '../text/prompts.js'
export { encodePrompt } from '../text/tokenizer.js'
export { type CompetingTexts, competingTexts, textProbabilities } from '../text_scores.js'
export {
  encodeOutputs,
  ignoredShare,
  type Legend,
  type OutputKind,
  type Segmented,
  sharesOf,
} from './outputs.js'
export { short } from './short.js'
export { splitWords } from './split_words.js'
