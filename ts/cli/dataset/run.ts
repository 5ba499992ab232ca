import { existsSync, realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import sharp from 'sharp'
import { counted, type Dataset, type DatasetItem, type Failure, shardOf } from '../../dataset/dataset.js'
import { isDone, Journal, type JournalEntry, readJournal } from '../../dataset/journal.js'
import { writeFoundLabels } from '../../dataset/labels_file.js'
import { claimFolder, type Manifest, settingsHash } from '../../dataset/manifest.js'
import { type RunOptions, type RunParts, runItems } from '../../dataset/run.js'
import { type OutputKind, ResultStore } from '../../dataset/store.js'
import { resolveModelPath } from '../../model_path.js'
import { maskPalette } from '../../palette.js'
import { resolveSegmentOptions } from '../../segment_options.js'
import { Segmenter } from '../../segmenter.js'
import { packageVersion } from '../../setup/paths.js'
import type { ClassFile, LoadOptions } from '../../types.js'
import { classesFor, type Kind, kindOf, readDataset, sourceOf } from '../dataset_source.js'
import { makeOutFolder } from '../out_folder.js'
import { duration, ignoredText, RunProgress, rateText } from '../run_progress.js'
import { complain, say } from '../say.js'
import { stopSignal } from '../stop.js'
import { asUsage } from '../usage.js'
import type { DatasetOptions } from './options.js'
import { encodingOf, settingsOf } from './plan.js'

const maxPixels = 100e6 // as the engine's default

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
  const segmenter = await Segmenter.load(model, {
    precision,
    threads,
    concurrency,
    maxSide,
    device,
    signal,
  } satisfies LoadOptions)
  try {
    const plan = await prepare(segmenter, kind, options, file, signal)
    return await runShard(plan, found, options)
  } finally {
    await segmenter.close()
  }
}

/** What a run needs besides photos and a place. */
interface Plan extends Pick<RunParts, 'segmenter' | 'classes'> {
  manifest: Manifest
  run: RunOptions
}

async function prepare(
  segmenter: Segmenter,
  kind: Kind,
  options: DatasetOptions,
  file: ClassFile,
  signal: AbortSignal,
): Promise<Plan> {
  const specs = file.classes.map(({ name, synonyms }) => (synonyms ? { name, synonyms } : name))
  const classes = await asUsage(() => segmenter.encodeClasses(specs, { ...encodingOf(options, file), signal }))
  const dropped = classes.droppedBackground.join(', ')
  if (dropped) complain(`clip-es: background words left out, because a class goes by them: ${dropped}`)
  const settings = settingsOf(kind, options, file, segmenter, classes)
  const { boxThreshold, backgroundPower, ignoreBelow, refine, crf, labelThreshold } = settings
  const segment = { boxThreshold, backgroundPower, ignoreBelow, refine, crf }
  const labels = labelThreshold === undefined ? {} : ({ labels: 'auto', labelThreshold } as const)
  await asUsage(() => resolveSegmentOptions('dataset', { ...segment, ...labels }, classes))
  const outputs: OutputKind[] = ['mask', ...(['confidence', 'cams'] as const).filter((output) => options[output])]
  return {
    ...{ segmenter, classes },
    manifest: {
      format: 1,
      version: packageVersion(),
      model: segmenter.model.path,
      source: sourceOf(kind, options),
      settings,
    },
    run: {
      segment,
      outputs: new Set(outputs),
      labelThreshold,
      palette: maskPalette(file.classes.map(({ colour }) => colour)),
      maxPixels,
      settings: settingsHash(settings),
      signal,
    },
  }
}

/** Finds out what is left to do in the folder of results, and does it. */
async function runShard(plan: Plan, found: Dataset, options: DatasetOptions): Promise<boolean> {
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
      const { outputs, settings } = plan.run
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
        { ...plan, store, journal },
        options,
      ).finally(() => {
        if (plan.run.labelThreshold !== undefined) writeFoundLabels(out, plan.classes.names, settings)
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
  { run, ...parts }: Plan & RunParts,
  { out, json }: DatasetOptions,
): Promise<boolean> {
  const tell = (line: string) => json || say(line)
  tell(`${counted(left.length, 'photo')} to do${already ? `, ${already} done before` : ''}; results in ${resolve(out)}`)
  for (const note of notes) tell(note)
  const progress = new RunProgress(left.length, json ? 'json' : 'text')
  try {
    for (const { id, message } of failures) progress.listFailure(id, message)
    await runItems(left, parts, run, {
      done: ({ id, labels }, ignored) => {
        const names = labels.map((label) => parts.classes.names[label] as string)
        const words = [...(names.length ? names : ['nothing found']), ...ignoredText(ignored)]
        progress.done(id, { labels: names, ignored }, words.join(', '))
      },
      failed: ({ id }, message) => progress.failed(id, message),
    })
  } finally {
    progress.stop()
  }
  const { seconds, failures: failed } = progress
  const done = left.length + failures.length - failed
  if (json) say(JSON.stringify({ event: 'end', done, already, failed, seconds: Number(seconds.toFixed(3)) }))
  tell(
    `${counted(done, 'photo')} done in ${duration(seconds)}${done ? ` (${rateText(done / seconds)})` : ''}${failed ? `, ${failed} failed: listed above` : ''}`,
  )
  return failed === 0
}
