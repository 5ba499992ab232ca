import { type ClassFile, Segmenter } from 'clip-es'
import { packageVersion, resolveModelPath } from 'clip-es/support'
import sharp from 'sharp'
import { type Outcome, othersInWork, runPipeline } from '../pipeline/pipeline.js'
import { failedEvent, Progress, sayEnd, sayStart } from '../pipeline/progress.js'
import { writeFoundLabels } from '../results/found_labels.js'
import { Journal } from '../results/journal.js'
import type { Manifest, RunSettings } from '../results/manifest.js'
import { ResultStore, type Results } from '../results/store.js'
import { loadOptions } from '../shared/engine_options.js'
import { makeOutFolder } from '../shared/out_folder.js'
import { say } from '../shared/say.js'
import { stopSignal } from '../shared/stop.js'
import { asUsage } from '../shared/usage.js'
import { classesFor, type Kind, kindOf, readDataset, sourceOf } from '../sources/data_set.js'
import type { DatasetItem, PackedDataset } from '../sources/dataset.js'
import { findWork, type Recipe, type Work } from './left.js'
import type { DatasetOptions } from './options.js'
import { type DatasetJob, type DatasetSummary, datasetStages, describe, folderExchange } from './photo.js'
import { jobOf, outputsOf, settingsOf } from './plan.js'

/** Runs `clip-es dataset`. False when any photo failed, after the rest was done. */
export async function dataset(options: DatasetOptions): Promise<boolean> {
  const kind = kindOf('dataset', options)
  const signal = stopSignal()
  const model = resolveModelPath(options.model)
  const file = await asUsage(() => classesFor('dataset', kind, options.classFile, model))
  const found = await asUsage(() => readDataset(kind, options, file))
  makeOutFolder('dataset', options.out)
  sharp.concurrency(1) // the cores belong to the engine
  const segmenter = await Segmenter.load({ ...loadOptions(options), model, signal })
  try {
    const plan = await prepare(segmenter, kind, options, file, signal)
    if (options.queue !== undefined) {
      const { byQueue } = await import('../queue/dataset.js')
      await segmenter.close() // its memory is the workers'
      return await inFolder(plan, found, options, (work, results) => byQueue(plan, work, results, options, signal))
    }
    return await inFolder(plan, found, options, (work, results) => here(plan.job, work, results, options, signal))
  } finally {
    await segmenter.close()
  }
}

/** How the photos are segmented, and what the folder of results says of it. */
export interface Plan extends Recipe {
  manifest: Manifest<RunSettings>
  job: DatasetJob
}

async function prepare(
  segmenter: Segmenter,
  kind: Kind,
  options: DatasetOptions,
  file: ClassFile,
  signal: AbortSignal,
): Promise<Plan> {
  const settings = settingsOf(kind, options, file, segmenter)
  const job = await jobOf(segmenter, settings, outputsOf(options), signal)
  const manifest = {
    format: 1 as const,
    version: packageVersion(),
    model: segmenter.model.path,
    source: sourceOf(kind, options),
    settings,
  }
  return { manifest, job, outputs: job.outputs, settings: job.settings }
}

/** Opens the folder of results, finds out what is left to do in it, and does it. */
async function inFolder(
  plan: Plan,
  found: PackedDataset,
  options: DatasetOptions,
  run: (work: Work, results: Results) => Promise<boolean>,
): Promise<boolean> {
  const { part, of } = options.shard ?? { part: 1, of: 1 }
  const shard = `${part}-of-${of}`
  const journal = await asUsage(() => new Journal(options.out, shard))
  try {
    const store = new ResultStore(options.out, shard)
    try {
      const work = await findWork(plan, found, store, options)
      return await run(work, { store, journal }).finally(async () => {
        work.mine.close()
        if (plan.job.options.labels === 'auto') await writeFoundLabels(options.out, plan.job.classes.names, plan.settings)
      })
    } finally {
      store.close()
    }
  } finally {
    journal.close()
  }
}

/** Says what there is to do, does it in this process, and says what was done. */
async function here(
  job: DatasetJob,
  { mine, left, already, failures, notes }: Work,
  results: Results,
  { out, json }: DatasetOptions,
  signal: AbortSignal,
): Promise<boolean> {
  sayStart(left.size, already, out, json)
  for (const note of notes) if (!json) say(note)
  const progress = new Progress(left.size, json ? 'json' : 'text')
  try {
    for (const { id, message } of failures) progress.listFailure(failedEvent(id, message))
    const window = job.segmenter.model.photosAtATime + othersInWork
    const stages = datasetStages(job, folderExchange(results, job.outputs))
    const describeIt = (outcome: Outcome<DatasetItem, DatasetSummary>) => describe(job.classes, outcome)
    await runPipeline(mine.only(left), stages, { window, signal, progress, out, describe: describeIt })
  } finally {
    progress.stop()
  }
  sayEnd(progress, already, json)
  return progress.failures === 0
}
