/** How a candidate does on photos, by a measure of which lower is better. */
export interface Figures {
  /** Over the photos. */
  sum: number
  /** The sum over the number of photos: what sets of different sizes can be compared by. */
  mean: number
  photos: number
  /** How certain the model is: the mean over the photos of the probability that the measure's comment names. */
  probability: number
}

/** Population variance / mean of probabilities; 0 where all are 0. */
export function varianceToMean(values: readonly number[]): number {
  const mean = meanOf(values)
  if (mean === 0) return 0
  return meanOf(values.map((value) => (value - mean) ** 2)) / mean
}

/**
 * How evenly a prompt's probabilities are spread over the classes that are in a photo (CLIP-ES, section 3.2, equation 9): the variance of
 * the target classes' probabilities over their mean, for every photo with two or more of them. The lower, the sharper the prompt. `probability`
 * is the target classes' mean probability.
 * @param targets per photo, the probabilities of its target classes: two or more
 */
export const sharpness = (targets: readonly (readonly number[])[]): Figures =>
  figures(targets.map(varianceToMean), targets.map(meanOf))

/** In nats: 0 for a certain class, log n for n equally probable ones. */
export function entropyOf(probabilities: ArrayLike<number>): number {
  let entropy = 0
  for (let i = 0; i < probabilities.length; i++) {
    const p = probabilities[i] as number
    if (p > 0) entropy -= p * Math.log(p)
  }
  return entropy
}

/**
 * How undecided a prompt leaves the model between all classes, without knowing which are there (after FLOSS, arXiv 2504.10487). `probability` is that
 * of the most probable class.
 * @param distributions per photo, the probabilities of all texts
 */
export const entropy = (distributions: readonly Float64Array[]): Figures =>
  figures(
    distributions.map(entropyOf),
    distributions.map((probabilities) => probabilities.reduce((most, p) => Math.max(most, p), 0)),
  )

function figures(values: readonly number[], probabilities: readonly number[]): Figures {
  const sum = values.reduce((total, value) => total + value, 0)
  return { sum, mean: sum / values.length, photos: values.length, probability: meanOf(probabilities) }
}

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
