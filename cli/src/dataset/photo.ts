import type { ClassSet, Segmenter, SegmentOptions, SegmentResult } from 'clip-es'
import type { Photo } from 'clip-es/photos'
import { encodeOutputs, ignoredShare, type Legend, type Segmented } from 'clip-es/support'
import { readPhotoOf } from '../photos/read.js'
import type { Outcome, Stages } from '../pipeline/pipeline.js'
import { type Event, failedEvent, figuresText, ignoredText } from '../pipeline/progress.js'
import { type JournalEntry, photoState } from '../results/journal.js'
import type { OutputKind, Results } from '../results/store.js'
import { oneLine } from '../shared/say.js'
import type { DatasetItem, LabelledItem } from '../sources/dataset.js'

/** What all photos of a run share. */
export interface DatasetJob {
  segmenter: Segmenter
  classes: ClassSet
  /** Also which labels CLIP finds, for photos without labels. */
  options: SegmentOptions
  outputs: readonly OutputKind[]
  colours: Legend['colours']
  /** settingsHash of the run. */
  settings: string
}

export interface DatasetSummary {
  item: LabelledItem
  /** Share of the mask's pixels that are 255. */
  ignored: number
}

export type PhotoState = ReturnType<typeof photoState>

export type ResultFiles = ReadonlyMap<OutputKind, Uint8Array>

/** Where photos are read and results are kept: in folders of this machine, or on another one. */
export interface Exchange {
  /** Before the photo is read. Throws for a photo whose results could not be written. */
  prepare(item: DatasetItem): PhotoState
  read(item: DatasetItem): Promise<Photo>
  /** All files of a photo or none, then its line of the journal. */
  save(files: ResultFiles, entry: JournalEntry): void | Promise<void>
  fail(entry: JournalEntry): void
}

/**
 * Photos and results in folders.
 * @param locate where this machine has a photo
 */
export function folderExchange(
  { store, journal }: Results,
  outputs: readonly OutputKind[],
  locate = (photo: string): string => photo,
): Exchange {
  return {
    prepare({ id, photo }) {
      store.check(id, outputs)
      return photoState(locate(photo)) // before it is read: a photo that is replaced meanwhile is done again
    },
    read: ({ photo }) => readPhotoOf(locate(photo), { orientation: 'ignored' }),
    save(files, entry) {
      store.save(entry.id, files)
      journal.add(entry)
    },
    fail: (entry) => journal.add(entry),
  }
}

interface Made extends Segmented {
  labels: number[]
  result: SegmentResult
}

const short = (p: number): number => Number(p.toPrecision(4))

/** The steps of `clip-es dataset`: pixels as they are stored, labels of the data set, results by ID, a line in the journal. */
export function datasetStages(job: DatasetJob, exchange: Exchange): Stages<DatasetItem, PhotoState, Made, DatasetSummary> {
  const { segmenter, classes, outputs, settings } = job
  return {
    prepare: (item) => exchange.prepare(item),
    async segment(item) {
      const photo = await exchange.read(item)
      const asked = item.labels ? { labels: item.labels } : {}
      const result = await segmenter.segment(photo, classes, { ...job.options, ...asked })
      const labels = item.labels ?? result.labels.map((name) => classes.names.indexOf(name))
      return { ...result, photo, result, labels }
    },
    encode: (made) => encodeOutputs(outputs, made, { names: classes.names, colours: job.colours }),
    async save(files, { labels, result }, item, state) {
      const labelled = { ...item, labels }
      const presence = result.presence && { presence: [...result.presence].map(short) }
      const entry = { ...labelled, ...state, settings, scores: [...result.scores].map(short), ...presence }
      await exchange.save(files as ResultFiles, entry)
      return { item: labelled, ignored: ignoredShare(result.mask) }
    },
    fail: (item, message) => exchange.fail(failedEntry(item, settings, message)),
  }
}

/** The journal's line for a photo that failed. */
export const failedEntry = (item: DatasetItem, settings: string, message: string): JournalEntry => ({
  ...item,
  bytes: 0,
  modified: 0,
  settings,
  failed: message,
})

/** How an outcome is reported. */
export function describe({ names }: Pick<ClassSet, 'names'>, outcome: Outcome<DatasetItem, DatasetSummary>): Event {
  const { id } = outcome.item
  if ('error' in outcome) return failedEvent(id, outcome.error.message)
  const { ignored } = outcome.summary
  const labels = outcome.summary.item.labels.map((label) => names[label] as string)
  const words = [...(labels.length ? labels : ['nothing found']), ...ignoredText(ignored)].join(', ')
  return {
    text: (figures) => `${oneLine(id)}: ${words} (${figuresText(figures)})`,
    json: ({ ended, total, perSecond }) => ({ event: 'done', id, labels, ignored, ended, total, perSecond }),
  }
}
