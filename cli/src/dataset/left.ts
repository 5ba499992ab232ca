import { existsSync, realpathSync } from 'node:fs'
import { isDone, type JournalEntry, readJournal } from '../results/journal.js'
import { claimFolder, type Manifest } from '../results/manifest.js'
import type { OutputKind, ResultStore } from '../results/store.js'
import { asUsage } from '../shared/usage.js'
import { type Dataset, type DatasetItem, type Failure, shardOf } from '../sources/dataset.js'
import type { DatasetOptions } from './options.js'

/** What a run has to do. */
export interface Work {
  /** All photos of this part of the data set. */
  mine: readonly DatasetItem[]
  /** The photos without results. */
  left: readonly DatasetItem[]
  already: number
  failures: readonly Failure[]
  notes: readonly string[]
}

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
export async function findWork(
  recipe: Recipe,
  found: Dataset,
  store: ResultStore,
  options: Pick<DatasetOptions, 'out' | 'overwrite' | 'shard'>,
): Promise<Work> {
  const { out, overwrite } = options
  const { part, of } = options.shard ?? { part: 1, of: 1 }
  const before = readJournal(out)
  const discard = () => {
    for (const { id, failed } of before.values()) if (failed === undefined) store.remove(id)
  }
  await asUsage(() => claimFolder(out, recipe.manifest, overwrite, discard))
  const all = shardOf(found.items, part, of)
  const others = overwrite ? [] : all.filter((item) => isOfOtherPhoto(before.get(item.id), item))
  const mine = others.length ? all.filter((item) => !others.includes(item)) : all
  const left = overwrite ? mine : leftOf(mine, before, store, recipe)
  // Failures of the annotations are reported once, by the first shard.
  const told = part === 1 ? found : { failures: [], notes: [] }
  const failures = [...told.failures, ...others.map((item) => otherPhoto(item, before.get(item.id)))]
  return { mine, left, already: mine.length - left.length, failures, notes: told.notes }
}

/** The photos without results of these settings. */
export const leftOf = (
  items: readonly DatasetItem[],
  journal: ReadonlyMap<string, JournalEntry>,
  store: ResultStore,
  { outputs, settings }: Recipe,
): DatasetItem[] => items.filter((item) => !store.has(item.id, outputs) || !isDone(journal.get(item.id), item, settings))

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
