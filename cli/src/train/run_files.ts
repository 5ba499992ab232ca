import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { ClassEntry } from 'clip-es'
import { invalid, readRegularSync, writeWhole } from 'clip-es/support'
import { differences, type Manifest } from '../results/manifest.js'
import { messageOf } from '../shared/wording.js'
import type { Settings } from './presets.js'
import type { Sample, ValidationSample } from './samples.js'

/** `manifest.json` of a training run: how its network came about, and how it is used. */
export interface TrainManifest {
  format: 1
  /** Of clip-es. */
  version: string
  command: 'train'
  /** Where masks and validation were. */
  source: Readonly<Record<string, string>>
  settings: Settings & {
    classes: readonly ClassEntry[]
    /** The CRF of the masks it learned from. */
    crf: Manifest['settings']['crf']
  }
}

/** `job.json`: all that the training program has to know. */
export interface TrainJob {
  version: 1
  run: string
  /** Background and the classes, by their values in a mask. */
  classes: string[]
  samples: readonly Sample[]
  validation: readonly ValidationSample[]
  network: Settings['network']
  training: Settings['training']
  every: { log: number; checkpoint: number; validation: number }
  /** Validation photos whose masks are kept for the report. */
  pictures: number
  device: string
  threads: number
  loaders: number
  seed: number
}

const manifestFile = (run: string): string => join(run, 'manifest.json')
export const jobFile = (run: string): string => join(run, 'job.json')
export const bestFile = (run: string): string => join(run, 'best.safetensors')

/** What a run writes. */
const written = [
  'checkpoints',
  'pictures',
  'photos',
  'log.jsonl',
  'validation.jsonl',
  'best.safetensors',
  'report.html',
  'job.json',
]

function readJson(file: string): unknown {
  try {
    return JSON.parse(readRegularSync(file).toString('utf8'))
  } catch (error) {
    throw invalid(`${file}: ${messageOf(error)}; choose another folder, or delete this file`)
  }
}

/** The manifest of a training run; undefined where there is none. Throws ERR_INVALID_ARG for a manifest of something else. */
export function readTrainManifest(run: string): TrainManifest | undefined {
  const file = manifestFile(run)
  if (!existsSync(file)) return undefined
  const manifest = readJson(file) as Partial<TrainManifest> | null
  if (manifest?.command === 'train' && manifest.format === 1 && manifest.settings) return manifest as TrainManifest
  throw invalid(`${file} is not about a training run; choose another folder`)
}

export function readJob(run: string): TrainJob | undefined {
  return existsSync(jobFile(run)) ? (readJson(jobFile(run)) as TrainJob) : undefined
}

/**
 * Leaves the run's manifest saying what is trained now. With `overwrite`, a run of other settings is deleted.
 * @throws ERR_INVALID_ARG when there is a run of other settings or photos, and `overwrite` is false
 */
export function claimRun(run: string, manifest: TrainManifest, names: readonly string[], overwrite: boolean): void {
  const before = readTrainManifest(run)
  const changed = before && !overwrite ? whatChanged(run, before, manifest, names) : []
  if (changed.length)
    throw invalid(
      `${run} holds a run of other settings: ${changed.join('; ')}. Choose another folder with --out, or begin again with --overwrite`,
    )
  if (overwrite) for (const name of written) rmSync(join(run, name), { recursive: true, force: true })
  writeWhole(manifestFile(run), `${JSON.stringify(manifest, null, 1)}\n`)
}

function whatChanged(run: string, before: TrainManifest, manifest: TrainManifest, names: readonly string[]): string[] {
  // Compared as they are read back. Nested settings are compared one by one, so that the message names each.
  const flat = ({ settings }: TrainManifest): object => {
    const { network, training, testing: _, ...rest } = JSON.parse(JSON.stringify(settings)) as TrainManifest['settings']
    return { ...rest, ...training, network: network.name, msc: network.msc, weights: network.weights }
  }
  const job = readJob(run)
  const same =
    job === undefined ||
    isDeepStrictEqual(
      job.samples.map(({ name }) => name),
      names,
    )
  return [
    ...differences(flat(before), flat(manifest)),
    ...(same ? [] : [`the photos differ (${job?.samples.length} and ${names.length})`]),
  ]
}

export const writeJob = (job: TrainJob): void => writeWhole(jobFile(job.run), `${JSON.stringify(job)}\n`)

/** A validation in the program's `validation.jsonl`. */
export interface Validation {
  iteration: number
  miou: number
  /** By mask value; null where neither truth nor network has the class. */
  iou: (number | null)[]
}

export const readValidations = (run: string): Validation[] =>
  readLines<Validation>(join(run, 'validation.jsonl')).filter(({ iou }) => Array.isArray(iou))

/** Where the program leaves the network's mask of a validation photo. */
export const pictureFile = (run: string, iteration: number, name: string): string =>
  join(run, 'pictures', String(iteration).padStart(6, '0'), `${name}.png`)

/** The losses in the program's `log.jsonl`. */
export const readLosses = (run: string): { iteration: number; loss: number }[] =>
  readLines<{ iteration: number; loss: number }>(join(run, 'log.jsonl')).filter(({ loss }) => typeof loss === 'number')

/** The objects of a file of lines. A line that a killed process left unfinished is skipped. */
function readLines<Line>(file: string): Line[] {
  if (!existsSync(file)) return []
  const lines = readRegularSync(file).toString('utf8').split('\n')
  return lines.flatMap((line) => {
    try {
      return line === '' ? [] : [JSON.parse(line) as Line]
    } catch {
      return []
    }
  })
}
