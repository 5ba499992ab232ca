import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { defaultThreads, packageVersion, readRegularSync } from 'clip-es/support'
import sharp from 'sharp'
import { findWork, type Recipe, type Work } from '../dataset/left.js'
import { describe, folderExchange } from '../dataset/photo.js'
import { othersInWork, runPipeline } from '../pipeline/pipeline.js'
import { failedEvent, Progress, sayEnd, sayStart } from '../pipeline/progress.js'
import { Journal } from '../results/journal.js'
import { type PredictSettings, settingsHash } from '../results/manifest.js'
import { ResultStore, type Results } from '../results/store.js'
import { makeOutFolder } from '../shared/out_folder.js'
import { say } from '../shared/say.js'
import { stopSignal } from '../shared/stop.js'
import { asUsage, UsageError } from '../shared/usage.js'
import { trainProgram } from '../train/build.js'
import { resolveDevice } from '../train/libtorch.js'
import { bestFile, readTrainManifest, type TrainManifest } from '../train/run_files.js'
import { Network, type PredictJob } from './network.js'
import type { PredictOptions } from './options.js'
import { type PredictWork, predictStages } from './photo.js'
import { type Found, findPredictPhotos } from './source.js'

const shard = '1-of-1' // as `dataset` calls its journal

/** Runs `clip-es predict`. False when any photo failed, after the rest was done. */
export async function predict(run: string, photos: readonly string[], options: PredictOptions): Promise<boolean> {
  const signal = stopSignal()
  const manifest = await asUsage(() => manifestOf(run))
  const { classes } = manifest.settings
  const found = await asUsage(() => findPredictPhotos(photos, options, { classes }))
  const weights = weightsOf(run, options)
  makeOutFolder('predict', options.out)
  sharp.concurrency(1) // the cores belong to the network
  const settings = settingsOf(manifest, weights, found, options)
  const recipe = recipeOf(weights, settings, found, options)
  const journal = await asUsage(() => new Journal(options.out, shard))
  try {
    const store = new ResultStore(options.out, shard)
    try {
      const work = await findWork(recipe, found.dataset, store, options)
      return await inFolder(weights, settings, recipe, work, { store, journal }, options, signal).finally(() => work.mine.close())
    } finally {
      store.close()
    }
  } finally {
    journal.close()
  }
}

function manifestOf(run: string): TrainManifest {
  const manifest = readTrainManifest(run)
  if (manifest === undefined)
    throw new UsageError(`predict: ${run} is not a training run; name a folder that clip-es train filled`)
  return manifest
}

function weightsOf(run: string, { weights = bestFile(run) }: PredictOptions): string {
  if (existsSync(weights)) return resolve(weights)
  throw new UsageError(
    `predict: there are no weights ${weights}; start clip-es train again to finish the run, or name a checkpoint with --weights`,
  )
}

/** Everything that results depend on but photos and labels. */
function settingsOf({ settings }: TrainManifest, weights: string, { set }: Found, options: PredictOptions): PredictSettings {
  const { crf, flip, scales, ignoreBelow, knownLabels } = options
  return {
    set,
    model: createHash('sha256').update(readRegularSync(weights)).digest('hex').slice(0, 16),
    classes: settings.classes,
    network: settings.network.name,
    scales: scales ?? settings.testing.scales,
    flip: flip ?? settings.testing.flip,
    crf: crf === undefined ? settings.crf : crf && (settings.crf || true),
    ...{ ignoreBelow, knownLabels },
  }
}

const recipeOf = (weights: string, settings: PredictSettings, { source }: Found, { confidence }: PredictOptions): Recipe => ({
  manifest: { format: 1, version: packageVersion(), model: weights, source, settings },
  outputs: confidence ? ['mask', 'confidence'] : ['mask'],
  settings: settingsHash(settings),
})

/** Says what there is to do, starts the network if there is anything, and says what was done. */
async function inFolder(
  weights: string,
  settings: PredictSettings,
  { outputs, settings: hash }: Recipe,
  { mine, left, already, failures, notes }: Work,
  results: Results,
  { out, json, device, threads = defaultThreads() }: PredictOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const names = settings.classes.map(({ name }) => name)
  sayStart(left.size, already, out, json)
  for (const note of notes) if (!json) say(note)
  const progress = new Progress(left.size, json ? 'json' : 'text')
  let network: Network | undefined
  try {
    for (const { id, message } of failures) progress.listFailure(failedEvent(id, message))
    if (left.size) {
      const program = await trainProgram(signal)
      const { scales, flip } = settings
      const job: PredictJob = { version: 1, weights, scales, flip, device: resolveDevice(device, program.libtorch), threads }
      network = await Network.start(program.file, job, ['background', ...names], signal)
      const work: PredictWork = {
        ...{ network, outputs, settings: hash },
        options: { crf: settings.crf, ignoreBelow: settings.ignoreBelow, threads, signal },
        legend: { names, colours: settings.classes.map(({ colour }) => colour) },
      }
      const stages = predictStages(work, folderExchange(results, outputs))
      await runPipeline(mine.only(left), stages, {
        ...{ window: 1 + othersInWork, signal, progress, out },
        describe: (outcome) => describe({ names }, outcome),
      })
    }
  } finally {
    progress.stop()
    await network?.close()
  }
  sayEnd(progress, already, json)
  return progress.failures === 0
}
