import { appendFileSync, existsSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { invalid, readRegularSync } from 'clip-es/support'
import { recordName } from '../files/run_folder.js'
import type { JournalEntry } from '../results/journal.js'
import { type Manifest, settingsHash } from '../results/manifest.js'

/** A photo that is done. `id` is the path of its mask from the folder of the results, without .png. */
export type RecordedPhoto = Required<Pick<JournalEntry, 'id' | 'photo' | 'labels' | 'scores' | 'settings'>>

/**
 * What earlier runs of `clip-es segment` recorded in a line each: the manifest of the last run that changed the settings, and the last result of
 * each mask.
 */
export interface SegmentRecord {
  manifest: Manifest | undefined
  photos: Map<string, RecordedPhoto>
  /** The last line was cut short. */
  torn: boolean
}

/** The id of a mask in a folder of results. */
export const maskId = (out: string, mask: string): string => relative(out, mask.slice(0, -'.png'.length)).replaceAll(sep, '/')

/** Reads the record in a folder of results. Lines that cannot be read are skipped: a killed process can leave one. */
export function readRecord(out: string): SegmentRecord {
  const record: SegmentRecord = { manifest: undefined, photos: new Map(), torn: false }
  const file = join(out, recordName)
  if (!existsSync(file)) return record
  const text = readRegularSync(file).toString('utf8')
  for (const line of text.split('\n')) {
    const { manifest, ...photo } = parseLine(line)
    if (manifest) record.manifest = checkManifest(file, manifest)
    else if (typeof photo.id === 'string') record.photos.set(photo.id, photo as RecordedPhoto)
  }
  return { ...record, torn: text !== '' && !text.endsWith('\n') }
}

function parseLine(line: string): Partial<RecordedPhoto> & { manifest?: Manifest } {
  try {
    return JSON.parse(line) ?? {}
  } catch {
    return {}
  }
}

function checkManifest(file: string, manifest: Manifest): Manifest {
  const remedy = 'Choose another folder, or delete this file'
  if (manifest.format !== 1) throw invalid(`${file}: its format is ${manifest.format}; this version reads format 1. ${remedy}`)
  if (!Array.isArray(manifest.settings?.classes)) throw invalid(`${file}: its settings have no list of classes. ${remedy}`)
  return manifest
}

/** Appends the settings and the photos of a run to the record, unless they are already there. */
export class RecordWriter {
  readonly #file: string
  readonly #before: SegmentRecord
  readonly #settings: string
  #torn: boolean

  constructor(
    readonly out: string,
    manifest: Manifest,
  ) {
    this.#file = join(out, recordName)
    this.#before = readRecord(out)
    this.#torn = this.#before.torn
    this.#settings = settingsHash(manifest.settings)
    const last = this.#before.manifest
    if (last === undefined || settingsHash(last.settings) !== this.#settings) this.#append({ manifest })
  }

  /** Call it after the photo's files were written. Throws what the file system does. */
  add(photo: Omit<RecordedPhoto, 'settings'>): void {
    const scores = photo.scores.map((score) => Number(score.toPrecision(4)))
    const entry = { ...photo, scores, settings: this.#settings }
    if (!isDeepStrictEqual(this.#before.photos.get(photo.id), entry)) this.#append(entry)
  }

  #append(entry: RecordedPhoto | { manifest: Manifest }): void {
    const line = `${this.#torn ? '\n' : ''}${JSON.stringify(entry)}\n`
    this.#torn = true
    appendFileSync(this.#file, line)
    this.#torn = false
  }
}
