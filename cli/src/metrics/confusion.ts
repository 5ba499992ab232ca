import { ignored } from 'clip-es'
import { invalid } from 'clip-es/support'

/** One class's figures over a whole data set; NaN where nothing is there to divide by. */
export interface ClassScore {
  /** Pixels in both, over pixels in either. */
  iou: number
  /** Of the pixels found, those that are right. */
  precision: number
  /** Of the pixels that are there, those found. */
  recall: number
  /** Pixels of the truth. */
  truth: number
  /** Pixels of the masks, where the truth is known. */
  found: number
}

/**
 * How often each label of a truth met each label of a mask, in pixels. Ones that the truth ignores (255) are left out; ones that the
 * mask ignores stand in a column of their own: they are found by no class, so they lower recall and IoU and no precision.
 */
export class Confusion {
  /** size * (size + 1): a row for each value of the truth, a column for each value of the mask, the last one for 255. */
  readonly counts: Float64Array

  /** @param size background and classes: the values are 0 to size - 1 */
  constructor(readonly size: number) {
    this.counts = new Float64Array(size * (size + 1))
  }

  /** Counts a picture. Throws ERR_INVALID_ARG, having counted nothing, for maps of two sizes or with a value that is not a class. */
  add(mask: Uint8Array, truth: Uint8Array): void {
    if (mask.length !== truth.length)
      throw invalid(`a mask of ${mask.length} pixels and a truth of ${truth.length}; they must be of one picture`)
    const { size, counts } = this
    checkValues(mask, size, 'the mask')
    checkValues(truth, size, 'the truth')
    for (let i = 0; i < truth.length; i++) {
      const there = truth[i] as number
      if (there === ignored) continue
      const found = mask[i] === ignored ? size : (mask[i] as number)
      const at = there * (size + 1) + found
      counts[at] = (counts[at] as number) + 1
    }
  }

  /** Adds what another one counted. */
  merge(other: Confusion): void {
    for (const [i, count] of other.counts.entries()) this.counts[i] = (this.counts[i] as number) + count
  }

  at(truth: number, mask: number): number {
    return this.counts[truth * (this.size + 1) + mask] as number
  }

  /** Pixels whose truth is known. */
  get pixels(): number {
    return this.counts.reduce((sum, count) => sum + count, 0)
  }

  /** The share of the pixels that have their true label. */
  get pixelAccuracy(): number {
    let right = 0
    for (let value = 0; value < this.size; value++) right += this.at(value, value)
    return right / this.pixels
  }

  /** The share of the pixels that the masks ignore. */
  get ignoredShare(): number {
    let sum = 0
    for (let value = 0; value < this.size; value++) sum += this.at(value, this.size)
    return sum / this.pixels
  }

  /** Each value's figures, background first. */
  classes(): ClassScore[] {
    const { size } = this
    return Array.from({ length: size }, (_, value) => {
      const both = this.at(value, value)
      let [truth, found] = [this.at(value, size), 0]
      for (let other = 0; other < size; other++) {
        truth += this.at(value, other)
        found += this.at(other, value)
      }
      return { iou: both / (truth + found - both), precision: both / found, recall: both / truth, truth, found }
    })
  }
}

/** The mean of the figures that are numbers: classes that occur in no truth and no mask have none. */
export function meanOfNumbers(figures: Iterable<number>): number {
  let [sum, count] = [0, 0]
  for (const figure of figures) {
    if (Number.isNaN(figure)) continue
    sum += figure
    count++
  }
  return sum / count
}

/** Throws ERR_INVALID_ARG for a value that is neither 0 to size - 1 nor 255. */
export function checkValues(map: Uint8Array, size: number, what: string): void {
  let highest = 0
  for (const value of map) if (value > highest && value !== ignored) highest = value
  if (highest >= size)
    throw invalid(
      `${what} has the value ${highest}, but background and ${size - 1} classes are 0 to ${size - 1}; evaluate with its own class file`,
    )
}
