import { defaults, Segmenter, type SegmentOptions } from 'clip-es'
import { type OutputKind, packageVersion } from 'clip-es/support'
import sharp from 'sharp'
import { findPhotos, type NotFound } from '../photos/find.js'
import { type Placed, placeResults } from '../photos/places.js'
import { leftOutNotes } from '../photos/sort_out.js'
import { othersInWork, runPipeline, withProgress } from '../pipeline/pipeline.js'
import { endText, Progress } from '../pipeline/progress.js'
import type { Manifest } from '../results/manifest.js'
import { encodeClasses } from '../shared/encode_classes.js'
import { loadOptions } from '../shared/engine_options.js'
import { encodedEntries } from '../shared/label_threshold.js'
import { mapOptions, mapSettings } from '../shared/maps_option.js'
import { makeOutFolder } from '../shared/out_folder.js'
import { complain } from '../shared/say.js'
import { stopSignal } from '../shared/stop.js'
import { asUsage } from '../shared/usage.js'
import { type AskedClasses, askedClasses } from './classes.js'
import type { SegmentArguments } from './options.js'
import { type Job, segmentStages } from './photo.js'
import { RecordWriter } from './record.js'
import { describe, failure } from './report.js'

/** Segments what the arguments name. False when something failed, after the rest was done. */
export async function segmentPhotos(args: readonly string[], given: SegmentArguments): Promise<boolean> {
  const signal = stopSignal()
  const asked = await askedClasses(given)
  const { photos, notFound, walked, leftOut } = await findPhotos(args, given.out)
  for (const note of leftOutNotes(leftOut)) complain(`clip-es: ${note}`)
  const placed = await asUsage(() => placeResults(photos, walked, given.out))
  if (placed.length) makeOutFolder('segment', given.out)
  return await work(placed, notFound, given, asked, signal)
}

const remedy = "Name photos, folders of photos, or globs in quotes: clip-es segment 'photos/*.jpg' --classes cat,dog"

/** Loads the model, if there are photos, and works through them. */
async function work(
  placed: readonly Placed[],
  notFound: readonly NotFound[],
  given: SegmentArguments,
  asked: AskedClasses,
  signal: AbortSignal,
): Promise<boolean> {
  const { out, json } = given
  if (!placed.length) {
    listFailures(new Progress(0, json ? 'json' : 'text'), notFound)
    complain(`clip-es: there is no photo to work on. ${remedy}`)
    return false
  }
  const { segmenter, job } = await load(given, asked, signal).catch((error: unknown) => {
    throw withProgress(error, 0, placed.length, out)
  })
  const progress = new Progress(placed.length, json ? 'json' : 'text', 2)
  try {
    listFailures(progress, notFound)
    const window = segmenter.model.photosAtATime + othersInWork
    await runPipeline(placed, segmentStages(job), { window, signal, progress, describe, out })
  } finally {
    progress.stop()
    await segmenter.close()
  }
  // The lines of a pipe are the photos'. A bar, and failures above it, need a last line.
  if (progress.hasBar || progress.failures) complain(`clip-es: ${endText(progress)}; results are in ${out}`)
  return progress.failures === 0
}

function listFailures(progress: Progress, notFound: readonly NotFound[]): void {
  for (const { path, reason } of notFound) progress.listFailure(failure(path, 'ENOENT', reason))
}

async function load(
  given: SegmentArguments,
  asked: AskedClasses,
  signal: AbortSignal,
): Promise<{ segmenter: Segmenter; job: Job }> {
  sharp.concurrency(1) // the cores belong to the engine
  const segmenter = await Segmenter.load({ ...loadOptions(given), signal })
  try {
    const classes = await encodeClasses(segmenter, encodedEntries(asked), { ...asked.encoding, signal })
    const record = await asUsage(() => new RecordWriter(given.out, manifestOf(segmenter, given, asked)))
    return { segmenter, job: { segmenter, classes, record, ...settings(given, asked, signal) } }
  } catch (error) {
    await segmenter.close()
    throw error
  }
}

/** What the results depend on besides the photos, with every default filled in, for `clip-es export`. */
function manifestOf({ model }: Segmenter, given: SegmentArguments, asked: AskedClasses): Manifest {
  const { classes, encoding, boxThreshold = defaults.boxThreshold, labelThreshold } = asked
  const { maxSide = defaults.maxSide, refine, crf = false } = given
  const { backgroundPower = defaults.backgroundPower, ignoreBelow = defaults.ignoreBelow } = given
  return {
    ...{ format: 1, version: packageVersion(), model: model.path, source: {} },
    settings: {
      set: 'photos',
      ...{ model: model.fingerprint, precision: model.precision, maxSide: String(maxSide), classes, ...encoding },
      ...{ boxThreshold, backgroundPower, ignoreBelow, refine, crf },
      ...mapSettings(given),
      ...(labelThreshold === undefined ? {} : { labelThreshold }),
    },
  }
}

/** What to ask the engine for, and what to write: the mask last. */
function settings(
  given: SegmentArguments,
  { labels, boxThreshold, colours }: AskedClasses,
  signal: AbortSignal,
): Pick<Job, 'options' | 'kinds' | 'colours'> {
  const { refine, crf = false, backgroundPower, ignoreBelow } = given
  const include: SegmentOptions['include'] = (['confidence', 'cams'] as const).filter((part) => given[part])
  const kinds: OutputKind[] = (['cams', 'confidence', 'overlay'] as const).filter((kind) => given[kind])
  const how = { refine, crf, boxThreshold, backgroundPower, ignoreBelow, ...mapOptions(mapSettings(given)) }
  const options: SegmentOptions = { ...how, labels, include, signal }
  return { options, kinds: [...kinds, 'mask'], colours }
}
