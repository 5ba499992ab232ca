import { existsSync, realpathSync } from 'node:fs'
import { isDone, type JournalEntry } from '../results/journal.js'
import { JournalIndex, type JournalLookup } from '../results/journal_index.js'
import { claimFolder, type Manifest } from '../results/manifest.js'
import type { OutputKind, ResultStore } from '../results/store.js'
import { Bits } from '../shared/bits.js'
import { asUsage } from '../shared/usage.js'
import { breathe } from '../shared/wait.js'
import { type DatasetItem, type Failure, type PackedDataset, shardOf } from '../sources/dataset.js'
import { PhotoList } from '../sources/photo_list.js'
import type { DatasetOptions } from './options.js'

/** What a run has to do. */
export interface Work {
  /** All photos of this part of the data set. */
  mine: PhotoList
  /** The numbers of those without results. */
  left: Bits
  already: number
  failures: readonly Failure[]
  notes: readonly string[]
}

/** Where results go, and which photos are wanted. */
export type WorkOptions = Pick<DatasetOptions, 'out' | 'overwrite' | 'shard'>

/** How results are made, as far as their folder knows it. */
export interface Recipe {
  manifest: Manifest
  outputs: readonly OutputKind[]
  /** settingsHash. */
  settings: string
}

/**
 * Claims the folder of results, and finds out from its journal which photos are left to do.
 * @throws UsageError when the folder has results of other settings
 */
export async function findWork(recipe: Recipe, found: PackedDataset, store: ResultStore, options: WorkOptions): Promise<Work> {
  const { out, overwrite } = options
  const { part, of } = options.shard ?? { part: 1, of: 1 }
  const before = await JournalIndex.read(out)
  try {
    const discard = () => {
      for (const { id, failed } of before) if (failed === undefined) store.remove(id)
    }
    await asUsage(() => claimFolder(out, recipe.manifest, overwrite, discard))
    // Failures of the annotations are reported once, by the first shard.
    const { failures, notes } = part === 1 ? { failures: [...found.failures], notes: found.notes } : { failures: [], notes: [] }
    const mine = new PhotoList()
    for (const item of shardOf(found.items, part, of)) {
      const entry = overwrite ? undefined : before.get(item.id)
      if (isOfOtherPhoto(entry, item)) failures.push(otherPhoto(item, entry))
      else mine.add(item)
      if (mine.length % betweenBreaths === 0) await breathe()
    }
    const left = overwrite ? Bits.all(mine.length) : await leftOf(mine, Bits.all(mine.length), before, store, recipe)
    return { mine, left, already: mine.length - left.size, failures, notes }
  } finally {
    before.close()
  }
}

/** The photos of a list that have no results of these settings. */
export async function leftOf(
  photos: PhotoList,
  among: Bits,
  journal: JournalLookup,
  store: ResultStore,
  { outputs, settings }: Recipe,
): Promise<Bits> {
  const left = new Bits(photos.length)
  for (const [number, item] of photos.entries()) {
    if (!among.has(number)) continue
    if (!store.has(item.id, outputs) || !isDone(journal.get(item.id), item, settings)) left.add(number)
    if (number % betweenBreaths === 0) await breathe()
  }
  return left
}

const betweenBreaths = 500 // photos

/** Whether results belong to another photo, which is still there: one that was moved is the same photo. */
const isOfOtherPhoto = (entry: JournalEntry | undefined, { photo }: DatasetItem): boolean =>
  entry !== undefined && entry.failed === undefined && entry.photo !== photo && isAnother(entry.photo, photo)

function isAnother(before: string, now: string): boolean {
  return existsSync(before) && (!existsSync(now) || realpathSync(before) !== realpathSync(now))
}

const otherPhoto = ({ id }: DatasetItem, entry: JournalEntry | undefined): Failure => ({
  id,
  message: `its results would overwrite those of ${entry?.photo}; choose another folder with --out, or replace them with --overwrite`,
})
