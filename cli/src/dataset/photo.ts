import type { ClassSet, Segmenter, SegmentOptions, SegmentResult } from 'clip-es'
import { encodeOutputs, ignoredShare, type Legend, type Segmented } from 'clip-es/support'
import { readPhotoOf } from '../photos/read.js'
import type { Outcome, Stages } from '../pipeline/pipeline.js'
import { type Event, failedEvent, figuresText, ignoredText } from '../pipeline/progress.js'
import { photoState } from '../results/journal.js'
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

type PhotoState = ReturnType<typeof photoState>

interface Made extends Segmented {
  labels: number[]
  result: SegmentResult
}

const short = (p: number): number => Number(p.toPrecision(4))

/** The steps of `clip-es dataset`: pixels as they are stored, labels of the data set, results by ID, a line in the journal. */
export function datasetStages(
  job: DatasetJob,
  { store, journal }: Results,
): Stages<DatasetItem, PhotoState, Made, DatasetSummary> {
  const { segmenter, classes, outputs, settings } = job
  return {
    prepare({ id, photo }) {
      store.check(id, outputs)
      return photoState(photo) // before it is read: a photo that is replaced meanwhile is done again
    },
    async segment({ photo: file, labels }) {
      const photo = await readPhotoOf(file, { orientation: 'ignored' })
      const asked = labels ? { labels, labelThreshold: undefined } : {}
      const result = await segmenter.segment(photo, classes, { ...job.options, ...asked })
      return { ...result, photo, result, labels: labels ?? result.labels.map((name) => classes.names.indexOf(name)) }
    },
    encode: (made) => encodeOutputs(outputs, made, { names: classes.names, colours: job.colours }),
    save(files, { labels, result }, item, state) {
      store.save(item.id, files as ReadonlyMap<OutputKind, Uint8Array>)
      const labelled = { ...item, labels }
      const presence = result.presence && { presence: [...result.presence].map(short) }
      journal.add({ ...labelled, ...state, settings, scores: [...result.scores].map(short), ...presence })
      return { item: labelled, ignored: ignoredShare(result.mask) }
    },
    fail: (item, message) => journal.add({ ...item, bytes: 0, modified: 0, settings, failed: message }),
  }
}

/** How an outcome is reported. */
export function describe(classes: ClassSet, outcome: Outcome<DatasetItem, DatasetSummary>): Event {
  const { id } = outcome.item
  if ('error' in outcome) return failedEvent(id, outcome.error.message)
  const { ignored } = outcome.summary
  const labels = outcome.summary.item.labels.map((label) => classes.names[label] as string)
  const words = [...(labels.length ? labels : ['nothing found']), ...ignoredText(ignored)].join(', ')
  return {
    text: (figures) => `${oneLine(id)}: ${words} (${figuresText(figures)})`,
    json: ({ ended, total, perSecond }) => ({ event: 'done', id, labels, ignored, ended, total, perSecond }),
  }
}
