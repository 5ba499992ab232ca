import { existsSync, realpathSync } from 'node:fs'
import { type ClassFile, Segmenter, type SegmentOptions } from 'clip-es'
import { packageVersion, resolveModelPath, resolveSegmentOptions } from 'clip-es/support'
import sharp from 'sharp'
import { othersInWork, runPipeline } from '../pipeline/pipeline.js'
import { failedEvent, Progress, sayEnd, sayStart } from '../pipeline/progress.js'
import { writeFoundLabels } from '../results/found_labels.js'
import { isDone, Journal, type JournalEntry, readJournal } from '../results/journal.js'
import { claimFolder, type Manifest, settingsHash } from '../results/manifest.js'
import { ResultStore, type Results } from '../results/store.js'
import { encodeClasses } from '../shared/encode_classes.js'
import { makeOutFolder } from '../shared/out_folder.js'
import { say } from '../shared/say.js'
import { stopSignal } from '../shared/stop.js'
import { asUsage } from '../shared/usage.js'
import { classesFor, type Kind, kindOf, readDataset, sourceOf } from '../sources/data_set.js'
import { type Dataset, type DatasetItem, type Failure, shardOf } from '../sources/dataset.js'
import type { DatasetOptions } from './options.js'
import { type DatasetJob, datasetStages, describe } from './photo.js'
import { encodingOf, settingsOf } from './plan.js'

/** Runs `clip-es dataset`. False when any photo failed, after the rest was done. */
export async function dataset(options: DatasetOptions): Promise<boolean> {
  const kind = kindOf('dataset', options)
  const signal = stopSignal()
  const model = resolveModelPath(options.model)
  const file = await asUsage(() => classesFor('dataset', kind, options.classFile, model))
  const found = await asUsage(() => readDataset(kind, options, file))
  makeOutFolder('dataset', options.out)
  sharp.concurrency(1) // the cores belong to the engine
  const { precision, threads, concurrency, maxSide, device } = options
  const segmenter = await Segmenter.load({ model, precision, threads, concurrency, maxSide, device, signal })
  try {
    const plan = await prepare(segmenter, kind, options, file, signal)
    return await runShard(plan, found, options, signal)
  } finally {
    await segmenter.close()
  }
}

/** How the photos are segmented, and what the folder of results says of it. */
interface Plan {
  manifest: Manifest
  job: DatasetJob
}

async function prepare(
  segmenter: Segmenter,
  kind: Kind,
  options: DatasetOptions,
  file: ClassFile,
  signal: AbortSignal,
): Promise<Plan> {
  const classes = await encodeClasses(segmenter, file.classes, { ...encodingOf(options, file), signal })
  const settings = settingsOf(kind, options, file, segmenter)
  const { boxThreshold, backgroundPower, ignoreBelow, refine, crf, labelThreshold } = settings
  const include = (['confidence', 'cams'] as const).filter((output) => options[output])
  const auto = labelThreshold === undefined ? {} : { labels: 'auto' as const, labelThreshold }
  const segment: SegmentOptions = { boxThreshold, backgroundPower, ignoreBelow, refine, crf, include, ...auto, signal }
  await asUsage(() => resolveSegmentOptions('dataset', segment, classes))
  return {
    manifest: {
      format: 1,
      version: packageVersion(),
      model: segmenter.model.path,
      source: sourceOf(kind, options),
      settings,
    },
    job: {
      ...{ segmenter, classes },
      options: segment,
      outputs: ['mask', ...include],
      colours: file.classes.map(({ colour }) => colour),
      settings: settingsHash(settings),
    },
  }
}

/** Finds out what is left to do in the folder of results, and does it. */
async function runShard(plan: Plan, found: Dataset, options: DatasetOptions, signal: AbortSignal): Promise<boolean> {
  const { out, overwrite } = options
  const { part, of } = options.shard ?? { part: 1, of: 1 }
  const shard = `${part}-of-${of}`
  const journal = await asUsage(() => new Journal(out, shard))
  try {
    const before = readJournal(out)
    const store = new ResultStore(out, shard)
    try {
      const discard = () => {
        for (const { id, failed } of before.values()) if (failed === undefined) store.remove(id)
      }
      await asUsage(() => claimFolder(out, plan.manifest, overwrite, discard))
      const { outputs, settings } = plan.job
      const mine = shardOf(found.items, part, of)
      const others = overwrite ? [] : mine.filter((item) => isOfOtherPhoto(before.get(item.id), item))
      const isLeft = (item: DatasetItem) =>
        overwrite || !store.has(item.id, outputs) || !isDone(before.get(item.id), item, settings)
      const left = mine.filter((item) => !others.includes(item) && isLeft(item))
      // Failures of the annotations are reported once, by the first shard.
      const told = part === 1 ? found : { ...found, failures: [], notes: [] }
      const failures = [...told.failures, ...others.map((item) => otherPhoto(item, before.get(item.id)))]
      return await work(
        left,
        mine.length - left.length - others.length,
        { ...told, failures },
        plan.job,
        { store, journal },
        options,
        signal,
      ).finally(() => {
        if (plan.job.options.labels === 'auto') writeFoundLabels(out, plan.job.classes.names, settings)
      })
    } finally {
      store.close()
    }
  } finally {
    journal.close()
  }
}

/** Whether results belong to another photo, which is still there: one that was moved is the same photo. */
const isOfOtherPhoto = (entry: JournalEntry | undefined, { photo }: DatasetItem): boolean =>
  entry !== undefined && entry.failed === undefined && entry.photo !== photo && isAnother(entry.photo, photo)

function isAnother(before: string, now: string): boolean {
  return existsSync(before) && (!existsSync(now) || realpathSync(before) !== realpathSync(now))
}

const otherPhoto = ({ id }: DatasetItem, entry: JournalEntry | undefined): Failure => ({
  id,
  message: `its results would overwrite those of ${entry?.photo}; choose another folder with --out, or replace them with --overwrite`,
})

/** Says what there is to do, does it, and says what was done. */
async function work(
  left: readonly DatasetItem[],
  already: number,
  { failures, notes }: Dataset,
  job: DatasetJob,
  results: Results,
  { out, json }: DatasetOptions,
  signal: AbortSignal,
): Promise<boolean> {
  sayStart(left.length, already, out, json)
  for (const note of notes) if (!json) say(note)
  const progress = new Progress(left.length, json ? 'json' : 'text')
  try {
    for (const { id, message } of failures) progress.listFailure(failedEvent(id, message))
    const window = job.segmenter.model.photosAtATime + othersInWork
    const stages = datasetStages(job, results)
    await runPipeline(left, stages, { window, signal, progress, out, describe: (outcome) => describe(job.classes, outcome) })
  } finally {
    progress.stop()
  }
  sayEnd(progress, already, json)
  return progress.failures === 0
}
