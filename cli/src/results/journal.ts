import { appendFileSync, closeSync, existsSync, fstatSync, mkdirSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { DatasetItem } from '../sources/dataset.js'
import { entriesOf, journalFolder, journalParts, openPart, replaces } from './journal_parts.js'
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

/** What identifies a photo's content well enough to see that it was replaced. */
export function photoState(photo: string): { bytes: number; modified: number } {
  const { size, mtimeMs } = statSync(photo, { throwIfNoEntry: false }) ?? { size: 0, mtimeMs: 0 } // the reader says that it is gone
  return { bytes: size, modified: Math.floor(mtimeMs) }
}

/** The last entry of each photo in the journals of all shards. `JournalIndex` has the same without holding the entries. */
export function readJournal(out: string): Map<string, JournalEntry> {
  const entries = new Map<string, JournalEntry>()
  for (const part of journalParts(out))
    for (const { entry } of entriesOf(part)) if (replaces(entry, entries.get(entry.id)?.settings)) entries.set(entry.id, entry)
  return entries
}

/** Whether an entry says that this photo with these labels is done. */
export function isDone(entry: JournalEntry | undefined, item: DatasetItem, settings: string): boolean {
  if (entry === undefined || entry.failed !== undefined || entry.settings !== settings) return false
  if (item.labels && !isDeepStrictEqual(entry.labels, item.labels)) return false
  const { bytes, modified } = photoState(item.photo)
  return entry.bytes === bytes && entry.modified === modified
}

/** Whether a part does not end with a whole line. */
function isTorn(part: string): boolean {
  const file = openPart(part)
  try {
    const last = Buffer.from('\n') // an empty part is whole
    readSync(file, last, 0, 1, Math.max(0, fstatSync(file).size - 1))
    return last.toString() !== '\n'
  } finally {
    closeSync(file)
  }
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
    mkdirSync(journalFolder(out), { recursive: true })
    this.#file = join(journalFolder(out), `${shard}.jsonl`)
    this.#lock = new Lock(
      join(journalFolder(out), `${shard}.lock`),
      (pid) => `process ${pid} is working on this part of ${out}; wait for it, or do another part with --shard`,
    )
    this.#torn = existsSync(this.#file) && isTorn(this.#file)
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
