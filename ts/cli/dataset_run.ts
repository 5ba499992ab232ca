import { basename, resolve } from 'node:path'
import type { ClassFile } from '../class_file.js'
import { ClassSet } from '../class_set.js'
import { readCocoDataset } from '../dataset/coco.js'
import { counted, type Dataset, type DatasetItem, shardOf } from '../dataset/dataset.js'
import { readFolder } from '../dataset/folder.js'
import { isDone, Journal, readJournal } from '../dataset/journal.js'
import { LabelIndex } from '../dataset/label_index.js'
import { claimFolder, type RunSettings, settingsHash } from '../dataset/manifest.js'
import { runItems } from '../dataset/run.js'
import { type OutputKind, ResultStore } from '../dataset/store.js'
import { readVoc } from '../dataset/voc.js'
import { embeddedModel, resolveModelPath } from '../model_path.js'
import { maskPalette } from '../palette.js'
import { resolveSegmentOptions } from '../segment_options.js'
import { Segmenter } from '../segmenter.js'
import { packageVersion } from '../setup/paths.js'
import { backgrounds, classSets, templates } from '../text/prompts.js'
import { classFileNamed } from './class_sets.js'
import type { DatasetOptions } from './dataset.js'
import { makeOutFolder } from './out_folder.js'
import { duration, RunProgress, rateText } from './run_progress.js'
import { stopSignal } from './stop.js'
import { asUsage, UsageError } from './usage.js'

const maxPixels = 100e6

/** Which of the three kinds of data set is asked for, with all that it needs. */
function checkKind(options: DatasetOptions): 'voc' | 'coco' | 'folder' {
  const kinds = (['voc', 'coco', 'folder'] as const).filter((kind) => options[kind] !== undefined)
  const [kind] = kinds
  if (kind === undefined)
    throw new UsageError(
      'dataset: name a data set: --voc DIR --split NAME, --coco DIR --annotations FILE, or --folder DIR --labels FILE',
    )
  const needed = ({ voc: 'split', coco: 'annotations', folder: 'labels' } as const)[kind]
  if (options[needed] === undefined) throw new UsageError(`dataset: --${kind} needs --${needed}`)
  for (const [option, kindsOfIt] of [
    ['split', ['voc']],
    ['annotations', ['coco']],
    ['labels', ['folder', 'voc']],
  ] as const)
    if (options[option] !== undefined && !(kindsOfIt as readonly string[]).includes(kind))
      throw new UsageError(`dataset: --${option} says nothing to --${kind}; leave it out`)
  return kind
}

/** The class file of --class-file, else the kind's own. */
function classesFor(kind: 'voc' | 'coco' | 'folder', file: string | undefined, model: string): ClassFile {
  if (file !== undefined) return classFileNamed(file)
  if (kind !== 'folder') return classSets[kind]
  if (model === embeddedModel()) return classFileNamed('emoji')
  throw new UsageError('dataset: --folder needs --class-file, which names the classes and fixes their numbers in the masks')
}

async function readDataset(kind: 'voc' | 'coco' | 'folder', options: DatasetOptions, index: LabelIndex): Promise<Dataset> {
  const { split = '', annotations = '', labels = '' } = options
  // Whole paths, so that other commands find the photos from elsewhere.
  const [voc, coco, folder] = [options.voc, options.coco, options.folder].map((dir) => resolve(dir ?? '')) as [
    string,
    string,
    string,
  ]
  if (kind === 'voc') return await readVoc(voc, split, index, options.labels)
  return kind === 'coco' ? readCocoDataset(coco, annotations, index) : readFolder(folder, labels, index)
}

const setName = (kind: string, { split, annotations = '' }: DatasetOptions): string =>
  kind === 'voc' ? `voc ${split}` : kind === 'coco' ? `coco ${basename(annotations)}` : 'folder'

/** The paths that the manifest keeps, so that other commands find the photos. */
function sourceOf(kind: string, options: DatasetOptions): Record<string, string> {
  const { voc, split, coco, annotations, folder, labels } = options
  const paths = Object.entries({ voc, coco, annotations, folder, labels }).filter(
    (entry): entry is [string, string] => !!entry[1],
  )
  return {
    kind,
    ...(split === undefined ? {} : { split }),
    ...Object.fromEntries(paths.map(([key, path]) => [key, resolve(path)])),
  }
}

/** Everything but the photos: what the results depend on, with every default filled in. */
function settingsOf(
  kind: string,
  options: DatasetOptions,
  file: ClassFile,
  segmenter: Segmenter,
  classes: ClassSet,
): RunSettings {
  const { backgroundPower, ignoreBelow, refine, crf } = options
  return {
    set: setName(kind, options),
    model: ClassSet.fingerprint(classes),
    precision: segmenter.model.precision,
    maxSide: options.maxSide ?? 1024,
    classes: file.classes,
    template: options.template ?? file.template ?? templates.clip_es,
    fusion: file.fusion ?? 'sentence',
    background: options.background ?? file.background ?? backgrounds.voc,
    boxThreshold: options.boxThreshold ?? file.boxThreshold ?? 0.4,
    ...{ backgroundPower, ignoreBelow, refine, crf },
  }
}

/** Runs `clip-es dataset`. The exit status is 1 when any photo failed. */
export async function dataset(options: DatasetOptions): Promise<void> {
  const kind = checkKind(options)
  const signal = stopSignal()
  const model = resolveModelPath(options.model)
  const file = await asUsage(() => classesFor(kind, options.classFile, model))
  const found = await asUsage(() => readDataset(kind, options, new LabelIndex(file.classes.map(({ name }) => name))))
  makeOutFolder('dataset', options.out)
  const { precision, threads, maxSide } = options
  const load = Object.fromEntries(Object.entries({ precision, threads, maxSide }).filter(([, value]) => value !== undefined))
  const segmenter = await Segmenter.load(model, { ...load, signal })
  try {
    await runWith(segmenter, kind, options, file, found, signal)
  } finally {
    await segmenter.close()
  }
}

async function runWith(
  segmenter: Segmenter,
  kind: 'voc' | 'coco' | 'folder',
  options: DatasetOptions,
  file: ClassFile,
  found: Dataset,
  signal: AbortSignal,
): Promise<void> {
  const { out, overwrite } = options
  const specs = file.classes.map(({ name, synonyms }) => (synonyms ? { name, synonyms } : name))
  const template = options.template ?? file.template ?? templates.clip_es
  const background = options.background ?? file.background ?? backgrounds.voc
  const classes = await asUsage(() =>
    segmenter.encodeClasses(specs, { template, background, fusion: file.fusion ?? 'sentence', signal }),
  )
  const settings = settingsOf(kind, options, file, segmenter, classes)
  const { boxThreshold, backgroundPower, ignoreBelow, refine, crf } = settings
  const segment = { boxThreshold, backgroundPower, ignoreBelow, refine, crf }
  await asUsage(() => resolveSegmentOptions('dataset', segment, classes))

  const { part, of } = options.shard ?? { part: 1, of: 1 }
  const shard = `${part}-of-${of}`
  const before = readJournal(out)
  const manifest = {
    format: 1 as const,
    version: packageVersion(),
    model: segmenter.model.path,
    source: sourceOf(kind, options),
    settings,
  }
  const journal = await asUsage(() => new Journal(out, shard))
  try {
    const outdated = await asUsage(() => claimFolder(out, manifest, overwrite))
    const store = new ResultStore(out, shard)
    try {
      if (outdated) for (const id of before.keys()) store.remove(id)
      const outputs = new Set<OutputKind>([
        'mask',
        ...(options.confidence ? ['confidence' as const] : []),
        ...(options.cams ? ['cams' as const] : []),
      ])
      const hash = settingsHash(settings)
      const mine = shardOf(found.items, part, of)
      const isLeft = (item: DatasetItem) => overwrite || !store.has(item.id, outputs) || !isDone(before.get(item.id), item, hash)
      const left = mine.filter(isLeft)
      const run = {
        segment,
        outputs,
        palette: maskPalette(file.classes.map(({ colour }) => colour)),
        maxPixels,
        settings: hash,
        signal,
      }
      await work(left, mine.length - left.length, found, part === 1, options, (progress) =>
        runItems(left, { segmenter, classes, store, journal }, run, {
          done: ({ id, labels }) => {
            const names = labels.map((label) => classes.names[label] as string)
            progress.done(id, { labels: names }, names.join(', '))
          },
          failed: ({ id }, message) => progress.failed(id, message),
        }),
      )
    } finally {
      store.close()
    }
  } finally {
    journal.close()
  }
}

/** Says what there is to do, does it, and says what was done. */
async function work(
  left: readonly DatasetItem[],
  already: number,
  found: Dataset,
  first: boolean,
  { out, json }: DatasetOptions,
  run: (progress: RunProgress) => Promise<void>,
): Promise<void> {
  const say = (line: string) => json || console.log(line)
  say(`${counted(left.length, 'photo')} to do${already ? `, ${already} done before` : ''}; results in ${resolve(out)}`)
  for (const note of found.notes) say(note)
  const progress = new RunProgress(left.length, json ? 'json' : 'text')
  // What the annotations alone tell is listed once, by the first shard.
  try {
    if (first) for (const { id, message } of found.failures) progress.listFailure(id, message)
    await run(progress)
  } finally {
    progress.stop()
  }
  const { seconds, failures } = progress
  const done = left.length + (first ? found.failures.length : 0) - failures
  if (json) console.log(JSON.stringify({ event: 'end', done, already, failed: failures, seconds: Number(seconds.toFixed(3)) }))
  else
    console.log(
      `${counted(done, 'photo')} done in ${duration(seconds)}${done ? ` (${rateText(done / seconds)})` : ''}${failures ? `, ${failures} failed: listed above` : ''}`,
    )
  if (failures) process.exitCode = 1
}
