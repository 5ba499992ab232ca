import { closeSync } from 'node:fs'
import { lineAt } from '../files/lines.js'
import { hashOf, PlaceTable } from '../files/place_table.js'
import { breathe } from '../shared/wait.js'
import type { JournalEntry } from './journal.js'
import { entriesOf, journalParts, openPart, parseEntry, replaces } from './journal_parts.js'

/** Finds the entry of a photo. */
export interface JournalLookup {
  get(id: string): JournalEntry | undefined
}

const partSize = 2 ** 36 // bytes of a part at most: a place is part * partSize + where the line begins
const mostOpen = 100 // files
const betweenBreaths = 1000 // entries

/**
 * The entries that count, as `readJournal` has them. They stay in their files, and a table says where: so the journal of a million photos needs little
 * memory. Entries that are written after it was read are unknown.
 */
export class JournalIndex implements JournalLookup, Iterable<JournalEntry> {
  readonly #parts: readonly string[]
  /** Descriptors by the number of the part. */
  readonly #open = new Map<number, number>()
  /** Names of settings by their number. */
  readonly #settings: string[] = []
  readonly #table = new PlaceTable()

  private constructor(out: string) {
    this.#parts = journalParts(out)
  }

  /** Reads the journal once. Other work of the process goes on meanwhile. */
  static async read(out: string): Promise<JournalIndex> {
    const index = new JournalIndex(out)
    let count = 0
    for (const [number, part] of index.#parts.entries())
      for (const { entry, at } of entriesOf(part)) {
        index.#add(entry, number * partSize + at)
        if (++count % betweenBreaths === 0) await breathe()
      }
    return index
  }

  get(id: string): JournalEntry | undefined {
    const found = this.#table.at(this.#slotOf(id))
    return found && this.#entryAt(found.place)
  }

  /** In the order of their lines. */
  *[Symbol.iterator](): Generator<JournalEntry> {
    for (const place of this.#table.places.sort()) yield this.#entryAt(place)
  }

  close(): void {
    for (const file of this.#open.values()) closeSync(file)
    this.#open.clear()
  }

  #slotOf(id: string): number {
    return this.#table.find(hashOf(id), (place) => this.#entryAt(place).id === id)
  }

  #add(entry: JournalEntry, place: number): void {
    const slot = this.#slotOf(entry.id)
    const before = this.#table.at(slot)
    if (!replaces(entry, before && this.#settings[before.note])) return
    const known = this.#settings.indexOf(entry.settings)
    this.#table.set(slot, hashOf(entry.id), place, known < 0 ? this.#settings.push(entry.settings) - 1 : known)
  }

  #entryAt(place: number): JournalEntry {
    const part = Math.floor(place / partSize)
    return parseEntry(lineAt(this.#fileOf(part), place % partSize)) as JournalEntry // it was one before: journals only grow
  }

  #fileOf(part: number): number {
    const open = this.#open.get(part)
    if (open !== undefined) return open
    if (this.#open.size === mostOpen) this.close()
    const file = openPart(this.#parts[part] as string)
    this.#open.set(part, file)
    return file
  }
}
