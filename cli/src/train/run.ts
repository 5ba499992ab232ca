import { join, resolve } from 'node:path'
import { defaultThreads, packageVersion } from 'clip-es/support'
import sharp from 'sharp'
import { isDiskError } from '../pipeline/pipeline.js'
import { Lock } from '../results/lock.js'
import { makeOutFolder } from '../shared/out_folder.js'
import { say } from '../shared/say.js'
import { Stopped, stopSignal } from '../shared/stop.js'
import { asUsage, UsageError } from '../shared/usage.js'
import { counted, messageOf } from '../shared/wording.js'
import { type Program, trainProgram } from './build.js'
import { runTraining, type TrainEvent } from './events.js'
import { resolveDevice } from './libtorch.js'
import type { TrainOptions } from './options.js'
import { preparePictures } from './pictures.js'
import { missingWeights, type Settings, settingsOf } from './presets.js'
import { TrainProgress } from './progress.js'
import { writeRunReport } from './report.js'
import { bestFile, claimRun, jobFile, type TrainJob, type TrainManifest, writeJob } from './run_files.js'
import { type Data, findData } from './samples.js'

const pictures = 8 // of the report

/** Runs `clip-es train`. */
export async function train(results: string, options: TrainOptions): Promise<void> {
  const signal = stopSignal()
  const settings = settingsOf(options)
  checkOptions(options, settings)
  const found = await asUsage(() => findData(results, options, settings.training.confidence.mode))
  makeOutFolder('train', options.out)
  sharp.concurrency(1)
  const lock = await asUsage(() => lockRun(options.out))
  try {
    const manifest = manifestOf(results, options, settings, found)
    await asUsage(() =>
      claimRun(
        options.out,
        manifest,
        found.samples.map(({ name }) => name),
        options.overwrite,
      ),
    )
    const data = await asUsage(() => preparePictures(found, resolve(options.out), signal))
    const program = await trainProgram(signal)
    const job = jobOf(options, settings, data, program)
    writeJob(job)
    if (!options.json) sayStart(data, options)
    await work(program, job, manifest, options, signal)
  } finally {
    lock.release()
  }
}

/** Throws UsageError for options that do not fit together. */
function checkOptions(options: TrainOptions, { training: { confidence } }: Settings): void {
  if (confidence.mode === 'soft' && confidence.threshold <= 0.5)
    throw new UsageError(
      `train: --threshold is ${confidence.threshold}, and --confidence soft needs more than 0.5, where two labels are equally likely; use --confidence hard`,
    )
  const { validation, validationPhotos, validationList } = options
  if (validation === undefined && (validationPhotos ?? validationList) !== undefined)
    throw new UsageError(`train: --validation-${validationPhotos === undefined ? 'list' : 'photos'} needs --validation`)
  const missing = missingWeights(options)
  if (missing !== undefined)
    throw new UsageError(
      `train: the preset ${options.preset} begins from ${missing}; name a .safetensors or .pth file with --weights, or use --network small`,
    )
}

/** Throws ERR_INVALID_ARG while another command works in the folder. The training program has a lock of its own. */
const lockRun = (run: string): Lock =>
  new Lock(
    join(run, 'command.lock'),
    (pid) => `train: process ${pid} is working in ${run}; wait for it, or choose another folder with --out`,
  )

function manifestOf(results: string, options: TrainOptions, settings: Settings, { classes, crf }: Data): TrainManifest {
  const { masks, validation, validationPhotos, validationList } = options
  const paths = Object.entries({ results, masks, validation, validationPhotos, validationList })
  return {
    ...{ format: 1, version: packageVersion(), command: 'train' },
    source: Object.fromEntries(paths.flatMap(([name, path]) => (path === undefined ? [] : [[name, resolve(path)]]))),
    settings: { ...settings, classes, crf },
  }
}

function jobOf(options: TrainOptions, settings: Settings, data: Data, { libtorch }: Program): TrainJob {
  const { network, training, validateEvery, checkpointEvery, seed } = settings
  return {
    version: 1,
    run: resolve(options.out),
    classes: ['background', ...data.classes.map(({ name }) => name)],
    samples: data.samples,
    validation: data.validation,
    network: { ...network, weights: network.weights === null ? null : resolve(network.weights) },
    training,
    every: { log: 1, checkpoint: checkpointEvery, validation: validateEvery },
    pictures,
    device: resolveDevice(options.device, libtorch),
    threads: options.threads ?? defaultThreads(),
    loaders: options.loaders,
    seed,
  }
}

function sayStart({ samples, validation, notes }: Data, { out }: TrainOptions): void {
  const validated = validation.length ? `, validated with ${validation.length}` : ''
  say(`${counted(samples.length, 'picture')} to learn from${validated}; the run is in ${resolve(out)}`)
  for (const note of notes) say(note)
}

/** Lets the program train, and keeps what it reports. */
async function work(
  program: Program,
  job: TrainJob,
  manifest: TrainManifest,
  { out, json }: TrainOptions,
  signal: AbortSignal,
): Promise<void> {
  const progress = new TrainProgress(job.training.iterations, json)
  const onEvent = async (event: TrainEvent): Promise<void> => {
    progress.report(event)
    if (event.event === 'validation' || event.event === 'end') await writeRunReport(job, manifest)
    if (event.event === 'end' && !json) sayEnd(event.best, job)
  }
  try {
    await runTraining(program.file, jobFile(job.run), signal, onEvent)
  } catch (error) {
    throw withState(error, progress, job.training, out)
  } finally {
    progress.stop()
  }
}

function sayEnd(best: { iteration: number; miou: number } | null, { run }: TrainJob): void {
  const which = best
    ? `the weights of iteration ${best.iteration}, with a validation mIoU of ${(100 * best.miou).toFixed(1)} %`
    : 'the last weights'
  say(`${bestFile(run)} has ${which}`)
  say(`Report: ${join(run, 'report.html')}`)
}

/** Adds to an interruption, and to an error of disk or memory, how far the run was, and how it goes on. */
function withState(error: unknown, { iteration, total }: TrainProgress, training: Settings['training'], out: string): unknown {
  const state = `iteration ${iteration} of ${total}; run the same command again to continue ${out}`
  if (error instanceof Stopped) return new Stopped(`${error.message} at ${state}`, error.status)
  const { code } = error as NodeJS.ErrnoException
  const adding = (more: string): Error => Object.assign(new Error(`${messageOf(error)}; ${more}`, { cause: error }), { code })
  if (code === 'ERR_OUT_OF_MEMORY') return adding(withLess(training))
  return isDiskError(error) ? adding(state) : error
}

/** Options that need about half of the memory. */
function withLess({ batch, accumulate, crop }: Settings['training']): string {
  const half = Math.ceil(batch / 2)
  const smaller = 8 * Math.floor((crop * Math.SQRT1_2) / 8) + 1
  const options = batch > 1 ? `--batch ${half} --accumulate ${Math.round((batch * accumulate) / half)}` : `--crop ${smaller}`
  return `this run has --batch ${batch} and --crop ${crop}. Begin again with ${options} --overwrite, which needs about half of the memory`
}
