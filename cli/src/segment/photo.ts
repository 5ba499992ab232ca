import { existsSync, mkdirSync, realpathSync } from 'node:fs'
import { dirname } from 'node:path'
import { type ClassSet, ignored, type Segmenter, type SegmentOptions, type SegmentResult } from 'clip-es'
import type { Photo } from 'clip-es/photos'
import {
  checkNameLength,
  encodeOutputs,
  invalid,
  type Legend,
  type OutputKind,
  photoOfMask,
  type Segmented,
  sharesOf,
  sourceOfMask,
  writeAllWhole,
} from 'clip-es/support'
import { realFolder } from '../photos/names.js'
import type { Placed, Places } from '../photos/places.js'
import { readPhotoOf } from '../photos/read.js'
import type { Stages } from '../pipeline/pipeline.js'
import { maskId, type RecordWriter } from './record.js'

/** What all photos of a run share. */
export interface Job {
  segmenter: Segmenter
  classes: ClassSet
  colours: Legend['colours']
  options: SegmentOptions
  /** The mask is the last, so that the others are there if it is. */
  kinds: readonly OutputKind[]
  record: RecordWriter
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

/** A photo with its result. */
interface Made extends Segmented {
  photo: Photo
  result: SegmentResult
}

/** Throws an error for a photo whose results would overwrite those of another photo of this run. */
function placesOf(placed: Placed): Places {
  if ('places' in placed) return placed.places
  throw Object.assign(new Error(`its results would overwrite those of ${placed.takenBy.path}; give it another --out`), {
    code: 'EEXIST',
  })
}

/**
 * Throws ERR_INVALID_ARG for results whose names are too long, and where the mask of another photo lies: in an earlier run the same place meant
 * a photo of another working directory.
 */
function checkPlaces(file: string, places: Places, kinds: readonly OutputKind[]): void {
  for (const kind of kinds) checkNameLength(places[kind])
  const before = photoOfMask(places.mask)
  if (before !== undefined && existsSync(before) && realpathSync(before) !== realpathSync(file))
    throw invalid(`its mask would overwrite ${places.mask}, the mask of ${before}; choose another folder with --out`)
}

/** The steps of `clip-es segment`: EXIF orientation is obeyed, and results lie where the photo's path says. */
export function segmentStages(job: Job): Stages<Placed, Places, Made, PhotoResult> {
  const { segmenter, classes, colours, options, kinds, record } = job
  return {
    prepare(placed) {
      const places = placesOf(placed)
      checkPlaces(placed.photo.file, places, kinds)
      return places
    },
    async segment({ photo: { file } }) {
      const photo = await readPhotoOf(file)
      const result = await segmenter.segment(photo, classes, options)
      return { ...result, photo, result, labels: result.labels.map((name) => classes.names.indexOf(name)) }
    },
    async encode(made, placed) {
      const source = sourceOfMask(realpathSync(placed.photo.file), realFolder(placesOf(placed).mask))
      return await encodeOutputs(kinds, made, { names: classes.names, colours }, source)
    },
    save(files, made, { photo }, places) {
      mkdirSync(dirname(places.mask), { recursive: true })
      writeAllWhole([...files].map(([kind, bytes]) => [places[kind as OutputKind], bytes]))
      const { labels, result } = made
      record.add({ id: maskId(record.out, places.mask), photo: photo.file, labels: [...labels], scores: [...result.scores] })
      return summaryOf(made, Object.fromEntries(kinds.map((kind) => [kind, places[kind]]).reverse()), classes.names)
    },
  }
}

function summaryOf({ photo, result }: Made, outputs: Partial<Places>, names: readonly string[]): PhotoResult {
  const share = sharesOf(result.mask)
  const { queue: _, ...worked } = result.timings
  return {
    width: result.width,
    height: result.height,
    pages: photo.pages,
    outputs,
    labels: result.labels.map((name, i) => {
      const value = names.indexOf(name) + 1
      return { name, value, score: result.scores[i] as number, share: share(value) }
    }),
    background: share(0),
    ignored: share(ignored),
    seconds: Object.values(worked).reduce((sum, milliseconds) => sum + milliseconds, 0) / 1000,
  }
}
