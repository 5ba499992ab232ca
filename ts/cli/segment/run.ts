import sharp from 'sharp'
import type { ClassSet } from '../../class_set.js'
import { inOrder } from '../../in_order.js'
import { findPhotos, type NotFound } from '../../photos/find.js'
import { type Placed, placeResults, type ResultKind } from '../../photos/places.js'
import { leftOutNotes } from '../../photos/sort_out.js'
import { Segmenter } from '../../segmenter.js'
import type { SegmentOptions } from '../../types.js'
import { makeOutFolder } from '../out_folder.js'
import { complain } from '../say.js'
import { Stopped, stopSignal } from '../stop.js'
import { asUsage } from '../usage.js'
import { type AskedClasses, askedClasses } from './classes.js'
import type { SegmentArguments } from './options.js'
import { type Job, segmentPhoto } from './photo.js'
import { type Failure, failureText, makeReport, type Outcome, type Report, summary } from './report.js'

/** Photos in addition to those that the engine computes: one is decoded, one waits, one is written. More would only hold memory. */
const others = 3

/** The disk's failures, not a photo's: the next one would fail the same way. */
const fatal: readonly (string | undefined)[] = ['ENOSPC', 'EDQUOT', 'EROFS']

/** Segments what the arguments name. False when something failed, after the rest was done. */
export async function segmentPhotos(args: readonly string[], given: SegmentArguments): Promise<boolean> {
  const signal = stopSignal()
  const asked = await askedClasses(given)
  const { photos, notFound, walked, leftOut } = await findPhotos(args, given.out)
  for (const note of leftOutNotes(leftOut)) complain(`clip-es: ${note}`)
  const placed = await asUsage(() => placeResults(photos, walked, given.out))
  if (placed.length) makeOutFolder('segment', given.out)
  const report = makeReport(given.json ?? false, placed.length)
  const failures = notFound.map(toFailure)
  for (const failure of failures) report.photo(failure)
  if (placed.length) failures.push(...(await work(placed, given, asked, signal, report)))
  if (failures.length) complain(`clip-es: ${failureText(failures, placed.length)}`)
  return failures.length === 0
}

const toFailure = ({ path, reason }: NotFound): Failure => ({ path, error: { code: 'ENOENT', message: reason } })

/** Loads the model and works through the photos. Returns the failures among them. */
async function work(
  placed: readonly Placed[],
  given: SegmentArguments,
  asked: AskedClasses,
  signal: AbortSignal,
  report: Report,
): Promise<Failure[]> {
  sharp.concurrency(1) // the cores belong to the engine
  const failures: Failure[] = []
  let done = 0
  const { device, precision, threads, concurrency, maxSide, out } = given
  const begin = performance.now()
  let segmenter: Segmenter | undefined
  try {
    segmenter = await Segmenter.load(given.model, { device, precision, threads, concurrency, maxSide, signal })
    const classes = await encode(segmenter, asked, signal)
    const job: Job = { segmenter, classes, signal, ...settings(given, asked) }
    report.start()
    const window = segmenter.model.photosAtATime + others
    for await (const outcome of inOrder(placed, window, (photo) => tryPhoto(photo, job))) {
      if ('error' in outcome) failures.push(outcome)
      else done++
      report.photo(outcome)
    }
  } catch (error) {
    const progress = summary(placed.length, done, out)
    if (error instanceof Stopped) throw new Stopped(`${error.message}; ${progress}`, error.status)
    const { code, message } = error as NodeJS.ErrnoException
    if (!fatal.includes(code)) throw error
    throw Object.assign(new Error(`${message}; ${progress}. Make room, or choose another folder with --out`), { code })
  } finally {
    report.end()
    await segmenter?.close()
  }
  report.summary(summary(placed.length, done, out, (performance.now() - begin) / 1000))
  return failures
}

async function encode(segmenter: Segmenter, { specs, encoding }: AskedClasses, signal: AbortSignal): Promise<ClassSet> {
  const classes = await asUsage(() => segmenter.encodeClasses(specs, { ...encoding, signal }))
  const dropped = classes.droppedBackground.join(', ')
  if (dropped) complain(`clip-es: background words left out, because a class goes by them: ${dropped}`)
  return classes
}

/** What to ask the engine for, and what to write: the mask last. */
function settings(given: SegmentArguments, asked: AskedClasses): Pick<Job, 'options' | 'kinds' | 'colours'> {
  const { refine, crf = false, backgroundPower, ignoreBelow, cams, confidence } = given
  const { labels, labelThreshold, boxThreshold, colours } = asked
  const include: SegmentOptions['include'] = [...(cams ? ['cams' as const] : []), ...(confidence ? ['confidence' as const] : [])]
  const kinds = (['cams', 'confidence', 'overlay', 'mask'] satisfies ResultKind[]).filter(
    (kind) => kind === 'mask' || given[kind],
  )
  return { options: { labels, labelThreshold, refine, crf, boxThreshold, backgroundPower, ignoreBelow, include }, kinds, colours }
}

/** A photo's outcome, failures included; rejects only with what ends the whole run. */
async function tryPhoto(placed: Placed, job: Job): Promise<Outcome> {
  const { path, file } = placed.photo
  try {
    if ('takenBy' in placed)
      throw Object.assign(new Error(`its results would overwrite those of ${placed.takenBy.path}; give it another --out`), {
        code: 'EEXIST',
      })
    return { path, ...(await segmentPhoto(file, placed.places, job)) }
  } catch (error) {
    const { code, message } = error as Error & { code?: string }
    if (job.signal.aborted || fatal.includes(code)) throw error
    return { path, error: { code: code ?? 'ERR_FAILED', message } }
  }
}
