import { existsSync, mkdirSync, realpathSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ClassSet, Segmenter, SegmentOptions, SegmentResult } from 'clip-es'
import { ignored } from 'clip-es'
import { drawOverlay, encodeConfidence, encodeMask, maskPalette, type Photo, parseColour, vividColour } from 'clip-es/photos'
import { checkNameLength, invalid, type LabelFinder, photoOfMask, segmentFound, sourceOfMask, writeWhole } from 'clip-es/support'
import { encodeCams } from '../formats/cam_file.js'
import { realFolder } from '../photos/names.js'
import type { Places, ResultKind } from '../photos/places.js'
import { readPhotoOf } from '../photos/read.js'

const maxPixels = 100e6 // as the engine's default
const fullLegend = 8 // more labels than this, and the legend names only those that were found

/** What all photos of a run share. */
export interface Job {
  segmenter: Segmenter
  classes: ClassSet
  /** Where CLIP is to find the labels. */
  finder: LabelFinder | undefined
  colours: readonly (string | undefined)[]
  options: SegmentOptions
  kinds: readonly ResultKind[]
  signal: AbortSignal
}

/** A label as it was found in a photo. */
export interface FoundLabel {
  name: string
  /** In the mask. */
  value: number
  /** Its probability. */
  score: number
  /** Of the photo's pixels. */
  share: number
}

/** The outcome of a photo. */
export interface PhotoResult {
  width: number
  height: number
  pages: number
  outputs: Partial<Places>
  labels: FoundLabel[]
  /** Shares of the photo's pixels. */
  background: number
  ignored: number
  /** The engine's, without waiting, reading and writing. */
  seconds: number
}

/** Share of the pixels that have each value. */
function sharesOf(mask: Uint8Array): (value: number) => number {
  const counts = new Uint32Array(256)
  for (const value of mask) counts[value] = (counts[value] as number) + 1
  return (value) => (counts[value] as number) / mask.length
}

function labelsOf({ labels, scores }: SegmentResult, names: readonly string[], share: (value: number) => number): FoundLabel[] {
  return labels.map((name, i) => {
    const value = names.indexOf(name) + 1
    return { name, value, score: scores[i] as number, share: share(value) }
  })
}

/** What encode() makes files of. */
interface Segmented {
  photo: Photo
  result: SegmentResult
  labels: FoundLabel[]
  /** The photo's path from the mask's folder. */
  source: string
}

async function encode(kind: ResultKind, { photo, result, labels, source }: Segmented, job: Job): Promise<Buffer> {
  const { width, height, mask } = result
  if (kind === 'mask') return await encodeMask(mask, { width, height, palette: maskPalette(job.colours), photo: source })
  if (kind === 'confidence') return await encodeConfidence(result.confidence as Float32Array, width, height)
  const keys = labels.map(({ value }) => value - 1)
  if (kind === 'cams') return encodeCams(keys, result.cams as Float32Array, width, height)
  const drawn = labels.map(({ name, value, score, share }, i) => {
    const own = job.colours[value - 1]
    // Without a colour of its own, by its place among the labels: neighbours there have the colours that differ most.
    return { name, value, probability: score, share, colour: own === undefined ? vividColour(i) : parseColour(own) }
  })
  return await drawOverlay(
    photo,
    mask,
    drawn.filter(({ share }) => drawn.length <= fullLegend || share > 0),
  )
}

/**
 * Throws ERR_INVALID_ARG for results whose names are too long, and where the mask of another photo lies: in an earlier run the same place meant
 * a photo of another working directory.
 */
function checkPlaces(file: string, places: Places, kinds: readonly ResultKind[]): void {
  for (const kind of kinds) checkNameLength(places[kind])
  const before = photoOfMask(places.mask)
  if (before !== undefined && existsSync(before) && realpathSync(before) !== realpathSync(file))
    throw invalid(`its mask would overwrite ${places.mask}, the mask of ${before}; choose another folder with --out`)
}

/** Segments a photo and writes its results, the mask last: where it is, the others are. Rejects with the reason when the job is stopped. */
export async function segmentPhoto(file: string, places: Places, job: Job): Promise<PhotoResult> {
  const { segmenter, classes, finder, options, kinds, signal } = job
  signal.throwIfAborted()
  checkPlaces(file, places, kinds)
  const photo = await readPhotoOf(file, { maxPixels, signal })
  const result = finder
    ? await segmentFound(photo, classes, finder, { ...options, signal })
    : await segmenter.segment(photo, classes, { ...options, signal })
  const share = sharesOf(result.mask)
  const labels = labelsOf(result, classes.names, share)
  const source = sourceOfMask(realpathSync(file), realFolder(places.mask))
  const files = await Promise.all(kinds.map((kind) => encode(kind, { photo, result, labels, source }, job)))
  signal.throwIfAborted()
  mkdirSync(dirname(places.mask), { recursive: true })
  for (const [i, kind] of kinds.entries()) writeWhole(places[kind], files[i] as Buffer)
  const { queue: _, ...worked } = result.timings
  return {
    width: result.width,
    height: result.height,
    pages: photo.pages,
    outputs: Object.fromEntries(kinds.map((kind) => [kind, places[kind]]).reverse()),
    labels,
    background: share(0),
    ignored: share(ignored),
    seconds: Object.values(worked).reduce((sum, milliseconds) => sum + milliseconds, 0) / 1000,
  }
}
