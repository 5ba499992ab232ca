import { closeSync, existsSync, openSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { invalid } from 'clip-es/support'
import { linesOf } from '../files/lines.js'
import type { JournalEntry } from './journal.js'

/** The folder of the journal in a folder of results. */
export const journalFolder = (out: string): string => join(out, 'journal')

/** The files of the journal: one for each shard and each worker of a queue. */
export function journalParts(out: string): string[] {
  const folder = journalFolder(out)
  if (!existsSync(folder)) return []
  const names = readdirSync(folder).filter((name) => name.endsWith('.jsonl'))
  return names.map((name) => join(folder, name))
}

/** Opens a part for reading. Another kind of file could keep the process waiting. */
export function openPart(part: string): number {
  if (!statSync(part).isFile()) throw invalid(`${part} is not a regular file; remove it, or choose another folder with --out`)
  return openSync(part, 'r')
}

/** The entries of a part, with the places where their lines begin. A line that a killed process left unfinished is skipped. */
export function* entriesOf(part: string): Generator<{ entry: JournalEntry; at: number }> {
  const file = openPart(part)
  try {
    for (const { bytes, at } of linesOf(file)) {
      const entry = parseEntry(bytes)
      if (entry) yield { entry, at }
    }
  } finally {
    closeSync(file)
  }
}

export function parseEntry(line: Buffer): JournalEntry | undefined {
  try {
    const entry = JSON.parse(line.toString('utf8'))
    return typeof entry.id === 'string' ? entry : undefined
  } catch {
    return undefined
  }
}

/** Whether a later line of a photo counts instead of an earlier one. Shards of different numbers may both have a photo: one that succeeded counts. */
export const replaces = ({ failed, settings }: JournalEntry, settingsBefore: string | undefined): boolean =>
  !failed || settingsBefore !== settings
