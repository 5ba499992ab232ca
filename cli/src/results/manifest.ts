import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { ClassEntry, CrfOptions } from 'clip-es'
import { invalid, readRegularSync, writeWhole } from 'clip-es/support'
import type { MapSettings } from '../shared/maps_option.js'
import { messageOf } from '../shared/wording.js'

/** What every kind of result depends on. */
interface CommonSettings {
  /** 'voc train', 'coco instances_train2014.json', 'folder', 'photos'. */
  set: string
  /** The model's fingerprint. */
  model: string
  classes: readonly ClassEntry[]
  ignoreBelow: number
  /** Its settings, where they are not the default ones. */
  crf: boolean | CrfOptions
}

/** Everything that a mask by CLIP depends on but its photo and labels. */
export interface RunSettings extends CommonSettings, MapSettings {
  precision: string
  /** A number, or 'Infinity', which JSON cannot hold as one. */
  maxSide: string
  template: string | readonly string[]
  fusion: string
  background: readonly string[]
  boxThreshold: number
  backgroundPower: number
  refine: boolean
  /** Where CLIP finds the labels: from which presence on, for classes without a threshold of their own. */
  labelThreshold?: number
}

/** Everything that a mask by a trained network depends on but its photo and labels. */
export interface PredictSettings extends CommonSettings {
  network: string
  /** Of the photo: the network's probabilities at each are averaged. */
  scales: readonly number[]
  flip: boolean
  /** Whether only labels of the data set can be in a mask. */
  knownLabels: boolean
}

export type ResultSettings = RunSettings | PredictSettings

/** `manifest.json` in the folder of a data set's results: how they were made. */
export interface Manifest<Settings extends ResultSettings = ResultSettings> {
  format: 1
  /** Of clip-es. */
  version: string
  /** The model's path, for people; settings.model identifies it. */
  model: string
  /** Where the photos and their annotations were at the last run. */
  source: Readonly<Record<string, string>>
  settings: Settings
}

const fileOf = (out: string): string => join(out, 'manifest.json')

/** Names settings in the journal: equal for equal settings. */
export const settingsHash = (settings: ResultSettings): string =>
  createHash('sha256').update(JSON.stringify(settings)).digest('hex').slice(0, 16)

/** The manifest of a folder, or undefined where there is none. */
export function readManifest(out: string): Manifest | undefined {
  const file = fileOf(out)
  if (!existsSync(file)) return undefined
  try {
    const manifest = JSON.parse(readRegularSync(file).toString('utf8')) as Manifest
    if (manifest.format !== 1) throw invalid(`its format is ${manifest.format}; this version reads format 1`)
    if (!Array.isArray(manifest.settings?.classes)) throw invalid('its settings have no list of classes')
    return manifest
  } catch (error) {
    throw invalid(`${file}: ${messageOf(error)}; choose another folder, or delete this file`)
  }
}

/** What differs between two settings, in words. */
export function differences(was: object, now: object): string[] {
  const short = (value: unknown): string => {
    const text = JSON.stringify(value) ?? 'nothing'
    return text.length > 60 ? `${text.slice(0, 57)}...` : text
  }
  const values = [was, now].map((settings) => new Map<string, unknown>(Object.entries(settings)))
  const [before, after] = values as [Map<string, unknown>, Map<string, unknown>]
  return [...new Set([...after.keys(), ...before.keys()])]
    .filter((key) => !isDeepStrictEqual(before.get(key), after.get(key)))
    .map((key) => {
      const [a, b] = [short(before.get(key)), short(after.get(key))]
      return a === b ? `${key} differ` : `${key} was ${a} and is ${b}`
    })
}

/**
 * Leaves the folder's manifest saying what is done now.
 * @param discard removes results of other settings; called before they are forgotten, so that a process killed meanwhile forgets none
 * @throws ERR_INVALID_ARG when there are such results and `overwrite` is false
 */
export function claimFolder(out: string, manifest: Manifest, overwrite: boolean, discard: () => void): void {
  const before = readManifest(out)
  // Compared as they are read back: a default that is undefined does not stand in a file.
  const changed = before === undefined ? [] : differences(before.settings, JSON.parse(JSON.stringify(manifest.settings)))
  if (changed.length && !overwrite)
    throw invalid(
      `${out} holds results of other settings: ${changed.join('; ')}. Choose another folder with --out, or replace them with --overwrite`,
    )
  if (changed.length) discard()
  writeWhole(fileOf(out), `${JSON.stringify(manifest, null, 1)}\n`)
}
