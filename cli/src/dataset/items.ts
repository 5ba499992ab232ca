import type { ClassSet, ImageData, Segmenter, SegmentOptions, SegmentResult } from 'clip-es'
import { encodeConfidence, encodeMask } from 'clip-es/photos'
import { type LabelFinder, segmentFound } from 'clip-es/support'
import { encodeCams } from '../formats/cam_file.js'
import { inLanes } from '../lanes.js'
import { ignoredShare } from '../metrics/iou.js'
import { readPhotoOf } from '../photos/read.js'
import { type Journal, photoState } from '../results/journal.js'
import type { OutputKind, ResultStore } from '../results/store.js'
import { type DatasetItem, type LabelledItem, messageOf } from '../sources/dataset.js'

/** Photos in addition to those that the engine computes: one waits for it, one is read and one is written, so it never waits for a file. */
const others = 3

export interface RunOptions {
  segment: Omit<SegmentOptions, 'labels' | 'include' | 'output' | 'signal'>
  outputs: ReadonlySet<OutputKind>
  /** 256 * 3 bytes. */
  palette: Uint8Array
  maxPixels: number
  /** Finds the labels of photos that have none. */
  finder?: LabelFinder
  /** settingsHash of the run. */
  settings: string
  signal: AbortSignal
}

/** Is called for each photo when it ends. */
export interface RunListener {
  /** `ignored`: share of the mask's pixels that are 255. */
  done(item: LabelledItem, ignored: number): void
  failed(item: DatasetItem, message: string): void
}

export interface RunParts {
  segmenter: Segmenter
  classes: ClassSet
  store: ResultStore
  journal: Journal
}

/**
 * Segments the photos of a data set and writes what is asked for, a few photos at a time, in about their order. A photo that fails is
 * reported and the rest goes on.
 * @throws the signal's reason
 */
export async function runItems(
  items: Iterable<DatasetItem>,
  parts: RunParts,
  options: RunOptions,
  listener: RunListener,
): Promise<void> {
  const fail = (item: DatasetItem, message: string) => {
    listener.failed(item, message)
    try {
      parts.journal.add({ ...item, bytes: 0, modified: 0, settings: options.settings, failed: message })
    } catch {
      // The disk is full, perhaps: the photo has been reported, and is not done.
    }
  }
  const lanes = parts.segmenter.model.photosAtATime + others
  await inLanes(items, lanes, options.signal, async (item) => {
    let done: { item: LabelledItem; ignored: number }
    try {
      done = await runItem(item, parts, options)
    } catch (error) {
      if (!options.signal.aborted) fail(item, messageOf(error))
      return
    }
    listener.done(done.item, done.ignored)
  })
}

async function runItem(
  item: DatasetItem,
  parts: RunParts,
  options: RunOptions,
): Promise<{ item: LabelledItem; ignored: number }> {
  const { store, journal } = parts
  const { outputs, signal } = options
  store.check(item.id, outputs)
  const state = photoState(item.photo) // before it is read: a photo replaced meanwhile is done again
  const image = await readPhotoOf(item.photo, { maxPixels: options.maxPixels, orientation: 'ignored', signal })
  const include = [...outputs].filter((kind) => kind !== 'mask')
  const { result, labels, presence } = await segment(image, item.labels, parts, { ...options, include })
  const files = await encode(result, labels, outputs, options.palette)
  signal.throwIfAborted()
  store.save(item.id, files)
  const labelled = { ...item, labels }
  const found = presence && { presence: presence.map(short) }
  journal.add({ ...labelled, ...state, settings: options.settings, scores: [...result.scores].map(short), ...found })
  return { item: labelled, ignored: ignoredShare(result.mask) }
}

const short = (p: number): number => Number(p.toPrecision(4))

interface Segmented {
  result: SegmentResult
  labels: number[]
  presence?: number[]
}

/** With the labels given, or those that are found. */
async function segment(
  image: ImageData,
  labels: number[] | undefined,
  { segmenter, classes }: RunParts,
  { segment: settings, include, finder, signal }: RunOptions & Pick<SegmentOptions, 'include'>,
): Promise<Segmented> {
  const options = { ...settings, include, signal }
  if (labels) return { result: await segmenter.segment(image, classes, { ...options, labels }), labels }
  if (!finder) throw new TypeError('a photo without labels, and nothing to find them')
  const { found, ...result } = await segmentFound(image, classes, finder, options)
  return { result, ...found }
}

async function encode(
  result: SegmentResult,
  labels: readonly number[],
  outputs: ReadonlySet<OutputKind>,
  palette: Uint8Array,
): Promise<Map<OutputKind, Uint8Array>> {
  const { mask, confidence, cams, width, height } = result
  const files = new Map<OutputKind, Uint8Array>()
  if (outputs.has('mask')) files.set('mask', await encodeMask(mask, { width, height, palette }))
  if (confidence) files.set('confidence', await encodeConfidence(confidence, width, height))
  if (cams) files.set('cams', encodeCams(labels, cams, width, height))
  return files
}
