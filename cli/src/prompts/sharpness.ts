/**
 * How evenly a prompt's probabilities are spread over the classes that are in a photo (CLIP-ES, section 3.2, equation 9): the variance of
 * the target classes' probabilities over their mean, for every photo with two or more of them. The lower, the sharper the prompt.
 */
export interface Sharpness {
  /** Over the photos: population variance / mean. */
  sum: number
  /** The sum over the number of photos: what sets of different sizes can be compared by. */
  mean: number
  photos: number
  /** Mean over the photos of their target classes' mean probability. */
  probability: number
}

/** Population variance / mean of probabilities; 0 where all are 0. */
export function varianceToMean(values: readonly number[]): number {
  const mean = meanOf(values)
  if (mean === 0) return 0
  return meanOf(values.map((value) => (value - mean) ** 2)) / mean
}

/** @param targets per photo, the probabilities of its target classes: two or more */
export function sharpness(targets: readonly (readonly number[])[]): Sharpness {
  const sum = targets.reduce((total, values) => total + varianceToMean(values), 0)
  return { sum, mean: sum / targets.length, photos: targets.length, probability: meanOf(targets.map(meanOf)) }
}

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
