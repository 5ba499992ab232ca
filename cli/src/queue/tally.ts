import type { ClassSet } from 'clip-es'
import { describe } from '../dataset/photo.js'
import type { Progress } from '../pipeline/progress.js'
import { Bits } from '../shared/bits.js'
import type { DatasetItem } from '../sources/dataset.js'
import type { Listener } from './follow.js'
import type { PhotoOutcome } from './jobs.js'

/** What has become of the photos of a run, over all passes through the queue. Each is counted once. */
export class Tally implements Listener {
  readonly #done: Bits
  readonly #failed: Bits

  /**
   * @param photos of the data set
   * @param onFailed called for each photo that fails
   */
  constructor(
    photos: number,
    readonly progress: Progress,
    readonly classes: Pick<ClassSet, 'names'>,
    readonly onFailed: (item: DatasetItem, message: string) => void = () => undefined,
  ) {
    this.#done = new Bits(photos)
    this.#failed = new Bits(photos)
  }

  get failures(): number {
    return this.#failed.size
  }

  isDone = (number: number): boolean => this.#done.has(number)
  hasFailed = (number: number): boolean => this.#failed.has(number)

  ended(number: number, item: DatasetItem, outcome: PhotoOutcome): void {
    if (this.#done.has(number) || this.#failed.has(number)) return // Redis had lost it, and it was done again
    if ('failed' in outcome) {
      this.#failed.add(number)
      this.onFailed(item, outcome.failed)
      this.progress.failed(describe(this.classes, { item, error: new Error(outcome.failed) }))
      return
    }
    const { labels, ignored } = outcome
    this.#done.add(number)
    this.progress.done(describe(this.classes, { item, summary: { item: { ...item, labels }, ignored } }))
  }

  again(number: number): void {
    if (this.#failed.delete(number)) this.progress.again()
  }

  /** Counts photos that the journal has, and that no worker could report because Redis had lost them. */
  settle(all: Iterable<number>, left: Bits): void {
    for (const number of all) {
      if (left.has(number) || this.#done.has(number) || this.#failed.has(number)) continue
      this.#done.add(number)
      this.progress.done()
    }
  }
}
