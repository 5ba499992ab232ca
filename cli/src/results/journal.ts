import { appendFileSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { readRegularSync } from 'clip-es/support'
import type { DatasetItem } from '../sources/dataset.js'
import { Lock } from './lock.js'

/** A finished photo, or one that failed. */
export interface JournalEntry {
  id: string
  photo: string
  /** Absent when it failed before they were found. */
  labels?: number[]
  /** Of the photo's file: a changed one is done again. */
  bytes: number
  modified: number
  /** Which settings it was done with: manifest.ts. */
  settings: string
  /** The labels' probabilities. */
  scores?: number[]
  /** Where CLIP found the labels: how sure it was. */
  presence?: number[]
  failed?: string
}

const folderOf = (out: string): string => join(out, 'journal')

/** What identifies a photo's content well enough to see that it was replaced. */
export function photoState(photo: string): { bytes: number; modified: number } {
  const { size, mtimeMs } = statSync(photo, { throwIfNoEntry: false }) ?? { size: 0, mtimeMs: 0 } // the reader says that it is gone
  return { bytes: size, modified: Math.floor(mtimeMs) }
}

/** The last entry of each photo in the journals of all shards; a line that a killed process left unfinished is skipped. */
export function readJournal(out: string): Map<string, JournalEntry> {
  const entries = new Map<string, JournalEntry>()
  if (!existsSync(folderOf(out))) return entries
  const files = readdirSync(folderOf(out)).filter((name) => name.endsWith('.jsonl'))
  for (const file of files)
    for (const line of readRegularSync(join(folderOf(out), file))
      .toString('utf8')
      .split('\n')) {
      const entry = parseLine(line)
      // Shards of different numbers may both have a photo: one that succeeded counts.
      if (entry && (!entry.failed || entries.get(entry.id)?.settings !== entry.settings)) entries.set(entry.id, entry)
    }
  return entries
}

function parseLine(line: string): JournalEntry | undefined {
  try {
    const entry = JSON.parse(line)
    return typeof entry.id === 'string' ? entry : undefined
  } catch {
    return undefined
  }
}

/** Whether an entry says that this photo with these labels is done. */
export function isDone(entry: JournalEntry | undefined, item: DatasetItem, settings: string): boolean {
  if (entry === undefined || entry.failed !== undefined || entry.settings !== settings) return false
  if (item.labels && !isDeepStrictEqual(entry.labels, item.labels)) return false
  const { bytes, modified } = photoState(item.photo)
  return entry.bytes === bytes && entry.modified === modified
}

/** A shard's journal: a line for each photo, written after its files. One process at a time. */
export class Journal {
  readonly #file: string
  readonly #lock: Lock
  /** The last line was cut short: the next begins on a line of its own. */
  #torn: boolean

  /** @throws ERR_INVALID_ARG while another process of this machine works on the shard */
  constructor(
    out: string,
    readonly shard: string,
  ) {
    mkdirSync(folderOf(out), { recursive: true })
    this.#file = join(folderOf(out), `${shard}.jsonl`)
    this.#lock = new Lock(
      join(folderOf(out), `${shard}.lock`),
      (pid) => `process ${pid} is working on this part of ${out}; wait for it, or do another part with --shard`,
    )
    this.#torn = existsSync(this.#file) && !readRegularSync(this.#file).toString('utf8').endsWith('\n')
  }

  /** Throws what the file system does; a line that could not be written whole is skipped when the journal is read. */
  add(entry: JournalEntry): void {
    const line = `${this.#torn ? '\n' : ''}${JSON.stringify(entry)}\n`
    this.#torn = true
    appendFileSync(this.#file, line)
    this.#torn = false
  }

  close(): void {
    this.#lock.release()
  }
}
