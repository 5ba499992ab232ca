import type { ClassSet } from 'clip-es'
import { describe } from '../dataset/photo.js'
import type { Progress } from '../pipeline/progress.js'
import type { DatasetItem } from '../sources/dataset.js'
import type { Listener } from './follow.js'
import type { PhotoOutcome } from './jobs.js'

/** What has become of the photos of a run, over all passes through the queue. Each is counted once. */
export class Tally implements Listener {
  readonly #done = new Set<DatasetItem>()
  readonly #failed = new Set<DatasetItem>()

  /** @param onFailed called for each photo that fails */
  constructor(
    readonly progress: Progress,
    readonly classes: Pick<ClassSet, 'names'>,
    readonly onFailed: (item: DatasetItem, message: string) => void = () => undefined,
  ) {}

  get failures(): number {
    return this.#failed.size
  }

  isDone = (item: DatasetItem): boolean => this.#done.has(item)
  hasFailed = (item: DatasetItem): boolean => this.#failed.has(item)

  ended(item: DatasetItem, outcome: PhotoOutcome): void {
    if (this.#done.has(item) || this.#failed.has(item)) return // Redis had lost it, and it was done again
    if ('failed' in outcome) {
      this.#failed.add(item)
      this.onFailed(item, outcome.failed)
      this.progress.failed(describe(this.classes, { item, error: new Error(outcome.failed) }))
      return
    }
    const { labels, ignored } = outcome
    this.#done.add(item)
    this.progress.done(describe(this.classes, { item, summary: { item: { ...item, labels }, ignored } }))
  }

  again(item: DatasetItem): void {
    if (this.#failed.delete(item)) this.progress.again()
  }

  /** Counts photos that the journal has, and that no worker could report because Redis had lost them. */
  settle(all: readonly DatasetItem[], left: readonly DatasetItem[]): void {
    const open = new Set(left)
    for (const item of all) {
      if (open.has(item) || this.#done.has(item) || this.#failed.has(item)) continue
      this.#done.add(item)
      this.progress.done()
    }
  }
}
