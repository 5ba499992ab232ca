import { encodeOutputs, ignoredShare, type Legend, type Segmented } from 'clip-es/support'
import { type DatasetSummary, type Exchange, failedEntry, type PhotoState, type ResultFiles } from '../dataset/photo.js'
import type { Stages } from '../pipeline/pipeline.js'
import type { OutputKind } from '../results/store.js'
import type { DatasetItem } from '../sources/dataset.js'
import { type MaskOptions, maskOf } from './mask.js'
import type { Network } from './network.js'

/** What all photos of a run share. */
export interface PredictWork {
  network: Network
  options: MaskOptions
  outputs: readonly OutputKind[]
  legend: Legend
  /** settingsHash of the run. */
  settings: string
}

type Made = Segmented & { labels: number[] }

/** The steps of `clip-es predict`: a trained network instead of CLIP; photos and results are those of `clip-es dataset`. */
export function predictStages(work: PredictWork, exchange: Exchange): Stages<DatasetItem, PhotoState, Made, DatasetSummary> {
  const { network, outputs, settings } = work
  return {
    prepare: (item) => exchange.prepare(item),
    async segment(item) {
      const photo = await exchange.read(item)
      const probabilities = await network.probabilities(photo)
      const { mask, confidence } = await maskOf(photo, probabilities, item.labels, work.options)
      return { photo, mask, confidence, labels: item.labels ?? labelsIn(mask, work.legend.names.length) }
    },
    encode: (made) => encodeOutputs(outputs, made, work.legend),
    async save(files, { labels, mask }, item, state) {
      const labelled = { ...item, labels }
      await exchange.save(files as ResultFiles, { ...labelled, ...state, settings })
      return { item: labelled, ignored: ignoredShare(mask) }
    },
    fail: (item, message) => exchange.fail(failedEntry(item, settings, message)),
  }
}

/** Indices of the classes that a mask has, ascending. */
function labelsIn(mask: Uint8Array, classes: number): number[] {
  const found = new Set(mask)
  return Array.from({ length: classes }, (_, label) => label).filter((label) => found.has(label + 1))
}
