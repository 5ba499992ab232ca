import type { ClassSet } from '../class_set.js'
import { inLanes } from '../lanes.js'
import { decodePhoto } from '../photos/decode.js'
import { encodeConfidence } from '../render/confidence.js'
import { encodeCams } from '../render/npz.js'
import { encodeLabels } from '../render/png.js'
import type { Segmenter } from '../segmenter.js'
import type { SegmentOptions, SegmentResult } from '../types.js'
import { type DatasetItem, messageOf } from './dataset.js'
import { type Journal, photoState } from './journal.js'
import type { OutputKind, ResultStore } from './store.js'

/** One photo is in the engine, one waits for it, and one each is being read and written: the engine never waits for a file. */
const lanes = 4

export interface RunOptions {
  segment: Omit<SegmentOptions, 'labels' | 'include' | 'output' | 'signal'>
  outputs: ReadonlySet<OutputKind>
  /** 256 * 3 bytes. */
  palette: Uint8Array
  maxPixels: number
  /** settingsHash of the run. */
  settings: string
  signal: AbortSignal
}

/** Told of each photo as it ends. */
export interface RunListener {
  done(item: DatasetItem): void
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
  await inLanes(items, lanes, options.signal, async (item) => {
    try {
      await runItem(item, parts, options)
    } catch (error) {
      if (!options.signal.aborted) fail(item, messageOf(error))
      return
    }
    listener.done(item)
  })
}

async function runItem(item: DatasetItem, parts: RunParts, options: RunOptions): Promise<void> {
  const { segmenter, classes, store, journal } = parts
  const { outputs, signal } = options
  const state = photoState(item.photo) // before it is read: a photo replaced meanwhile is done again
  const image = await decodePhoto(item.photo, options.maxPixels, 'ignored')
  const include = [...outputs].filter((kind) => kind !== 'mask')
  const result = await segmenter.segment(image, classes, { ...options.segment, labels: item.labels, include, signal })
  const files = await encode(result, item, outputs, options.palette)
  signal.throwIfAborted()
  store.save(item.id, files)
  const scores = [...result.scores].map((p) => Number(p.toPrecision(4)))
  journal.add({ ...item, ...state, settings: options.settings, scores })
}

async function encode(
  result: SegmentResult,
  item: DatasetItem,
  outputs: ReadonlySet<OutputKind>,
  palette: Uint8Array,
): Promise<Map<OutputKind, Uint8Array>> {
  const { mask, confidence, cams, width, height } = result
  const files = new Map<OutputKind, Uint8Array>()
  if (outputs.has('mask')) files.set('mask', await encodeLabels({ data: mask, width, height }, palette))
  if (confidence) files.set('confidence', await encodeConfidence(confidence, width, height))
  if (cams) files.set('cams', await encodeCams(item.labels, cams, width, height))
  return files
}
