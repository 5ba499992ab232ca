import { existsSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { ClassEntry } from 'clip-es'
import { invalid } from 'clip-es/support'
import { listIds, readResultList } from '../eval/files.js'
import { openResults } from '../export/source.js'
import { photosById } from '../photos/by_id.js'
import { type Manifest, readManifest } from '../results/manifest.js'
import { resultFile } from '../results/store.js'
import { UsageError } from '../shared/usage.js'
import { counted } from '../shared/wording.js'
import type { TrainOptions } from './options.js'
import type { ConfidenceMode } from './presets.js'

/** A picture to learn from. All paths are absolute. */
export interface Sample {
  /** The photo's id in its results. */
  name: string
  photo: string
  mask: string
  /** A 16-bit grey PNG, as `dataset --confidence` writes it. */
  confidence: string | null
}

export type ValidationSample = Omit<Sample, 'confidence'>

/** What a run learns from. */
export interface Data {
  classes: readonly ClassEntry[]
  /** The CRF of the results, which the masks of the trained network get, too. */
  crf: Manifest['settings']['crf']
  samples: Sample[]
  validation: ValidationSample[]
  /** Surprises that are not errors. */
  notes: string[]
}

/**
 * The photos of a folder of results with their masks, and the validation photos.
 * @param confidence how the confidence is used
 * @throws UsageError, ERR_INVALID_ARG for what is missing
 */
export function findData(folder: string, options: TrainOptions, confidence: ConfidenceMode): Data {
  const { photos, classes, warnings } = openResults(folder, {})
  const manifest = readManifest(folder)
  const masks = options.masks === undefined ? undefined : masksOf(options.masks)
  const samples = photos.map(({ id, photo, mask }): Sample => {
    if (photo === undefined)
      throw invalid(`train: ${folder} does not say which photo ${mask} is of; make it with clip-es dataset`)
    return { name: id, photo: resolve(photo), mask: resolve(masks ? masks(id) : mask), confidence: null }
  })
  const notes = [...warnings]
  if (confidence !== 'off' && options.masks === undefined) notes.push(...addConfidence(samples, folder, options))
  const validation = options.validation === undefined ? [] : findValidation(options.validation, options)
  const both = shared(samples, validation)
  if (both)
    notes.push(`${counted(both, 'validation photo')} also in ${folder}: the network learns from what it is validated with`)
  return { classes, crf: manifest?.settings.crf ?? false, samples, validation, notes }
}

function masksOf(folder: string): (id: string) => string {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new UsageError(`train: there is no folder ${folder}; name a folder of masks with --masks`)
  return (id) => {
    const mask = join(folder, `${id}.png`)
    if (existsSync(mask)) return mask
    throw invalid(`train: there is no mask ${mask}; --masks needs one for every photo of the results`)
  }
}

/** Gives each sample its file of confidences. Notes if there are none: the masks alone then say what is ignored. */
function addConfidence(samples: readonly Sample[], folder: string, { confidence, threshold }: TrainOptions): string[] {
  const files = samples.map(({ name }) => resolve(resultFile(folder, 'confidence', name)))
  const missing = files.filter((file) => !existsSync(file))
  if (!missing.length) {
    for (const [i, sample] of samples.entries()) sample.confidence = files[i] as string
    return []
  }
  const remedy = 'start the command that made the masks again with --confidence'
  if (missing.length < files.length)
    throw invalid(`train: ${counted(missing.length, 'confidence')} of ${folder} missing, such as ${missing[0]}; ${remedy}`)
  if (confidence !== undefined || threshold !== undefined)
    throw new UsageError(`train: ${folder} has no confidences, which the confidence-guided loss needs; ${remedy}`)
  return [
    `${folder} has no confidences: only the pixels that its masks ignore (255) are left out. For the confidence-guided loss ${remedy}`,
  ]
}

function findValidation(path: string, options: TrainOptions): ValidationSample[] {
  const { validationPhotos, validationList } = options
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory())
    throw new UsageError(`train: there is no folder ${path}; name results or a folder of ground truth with --validation`)
  if (validationPhotos !== undefined) return truthSamples(path, validationPhotos, validationList)
  if (readManifest(path) === undefined)
    throw new UsageError(`train: ${path} does not say which photos its masks are of; name their folder with --validation-photos`)
  const { photos } = openResults(path, {})
  const ids =
    validationList === undefined
      ? undefined
      : new Set(
          readResultList(
            validationList,
            photos.map(({ id }) => id),
          ),
        )
  return photos
    .filter(({ id }) => ids?.has(id) ?? true)
    .map(({ id, photo, mask }) => ({ name: id, photo: resolve(photo as string), mask: resolve(mask) }))
}

function truthSamples(truth: string, photos: string, list: string | undefined): ValidationSample[] {
  const all = listIds(truth, ['.png'])
  if (!all.length)
    throw new UsageError(`train: there is no mask (.png) in ${truth}; name a folder of ground truth with --validation`)
  const ids = list === undefined ? all : readResultList(list, all)
  const photoOf = photosById(photos)
  return ids.map((id) => {
    const mask = join(truth, `${id}.png`)
    if (!existsSync(mask)) throw invalid(`train: there is no ${mask}, which ${list} names`)
    return { name: id, photo: resolve(photoOf(id)), mask: resolve(mask) }
  })
}

/** How many validation photos are trained on, too. */
function shared(samples: readonly Sample[], validation: readonly ValidationSample[]): number {
  const photos = new Set(samples.map(({ photo }) => photo))
  return validation.filter(({ photo }) => photos.has(photo)).length
}
