// The subpath `clip-es/support`: parts of the library that the command `clip-es` and the server need and its users do not. Nothing here is
// promised to stay: an export may change or go in any version. The comment above each group says who uses it. (The blank line after such a
// comment keeps Biome from sorting the groups into each other.)

// Arguments and errors: every command and the server. Errors have the code ERR_INVALID_ARG and end with the remedy.

export { show, unknownWord } from '../core/check.js'
export { invalid } from '../core/errors.js'
export { nearest } from '../core/nearest.js'
export { splitWords } from '../core/split_words.js'

// Lists of choices and a limit, for options and their help: the commands' engine and class options, the metrics, the server's schemas.

export { fusions, mostClasses, precisions } from '../core/defaults.js'

// Options as the library completes them: planClasses for `segment`, `prompts` and the server's class sets, resolveSegmentOptions for
// `dataset`, resolveCrfOptions for `crf`.

export { type ClassPlan, planClasses } from '../classes/class_set.js'
export { resolveCrfOptions } from '../engine/crf_options.js'
export { resolveSegmentOptions } from '../segment/segment_options.js'

// The probabilities of texts for an image: `prompts`, which ranks prompts without segmenting.

export { checkPrompts } from '../classes/class_set.js'
export { type CompetingTexts, competingTexts, textProbabilities } from '../classes/text_scores.js'

// Work on many photos at a time, in order: the pipeline of `segment`, `dataset` and `crf`, and `eval`, `export` and `prompts`.

export { forEachInOrder, inOrder } from '../core/in_order.js'

// Waiting that a signal ends: the queue of `dataset --queue` and `worker`, and the server's threads.

export { unlessAborted } from '../core/abort.js'

// A typed array, or ERR_OUT_OF_MEMORY: `crf`, for the scores of a photo.

export { allocate } from '../core/allocate.js'

// Files: only regular ones are read, whole ones are written. Every command that reads or writes files.

export { readRegular, readRegularSync } from '../files/read_regular.js'
export { checkNameLength, replaceable, writeAllWhole, writeWhole } from '../files/write_whole.js'

// The pictures and files of a result: the pipeline of `segment`, `dataset` and `crf`, `export`, and the server's answers.

export { encodeOutputs, ignoredShare, type Legend, type OutputKind, type Segmented, sharesOf } from './outputs.js'

// Formats whose writer is in the library, because the server writes them, too: the command's readers of numpy files, and `export`.

export { short } from '../core/short.js'
export {
  type LabelStudioLabel,
  type LabelStudioPrediction,
  type LabelStudioRegion,
  type LabelStudioTool,
  labelStudioPrediction,
  labelStudioRegions,
} from '../formats/label_studio.js'
export { type NdArray, numbersOf, readNpy, readNpyHead } from '../formats/npy.js'
export { mostZipBytes } from '../formats/stored_zip.js'

// The mark in our PNG files, by which later runs know them again: `segment`, `eval`, `export`, and the search for photos.

export { type OwnPicture, ownPicture, photoOfMask, sourceOfMask, withMark } from '../photos/mark.js'

// Text of pages, charts and lines: `demo`, `report`, `export`, `segment` and the progress of runs.

export { escapeXml, percent } from '../photos/legend.js'

// The model and the package: the commands' --model, the manifests of results, `doctor`, and the server's class sets.

export { embeddedModel, resolveModelPath } from '../engine/model_path.js'
export { packageFolder, packageVersion } from '../files/package_folder.js'

// What the machine has: `doctor` and `setup`.

export { defaultThreads } from '../engine/cores.js'
export { addonFile, hasAmx } from '../engine/native.js'

// Where LibTorch is: `doctor` and `setup`. The cache is also used by `prompts`.

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
