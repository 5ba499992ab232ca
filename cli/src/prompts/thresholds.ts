import { defaults } from 'clip-es'

/** How present CLIP takes each class of a photo to be, and which are there. */
export interface JudgedPhoto {
  /** Of each class, in [0, 1]. */
  presence: ArrayLike<number>
  /** Indices of classes. */
  labels: readonly number[]
}

/** How many labels are found that are there, found in all, and there. */
export interface Counts {
  hits: number
  found: number
  there: number
}

/** A class at the default threshold and at its own. */
export interface Calibration {
  /** Undefined for a class that is in no photo: the default stays. */
  threshold: number | undefined
  atDefault: Counts
  /** Each photo is judged by the threshold that the other photos choose. */
  leftOut: Counts
}

/**
 * Each class also counts the labels of all classes, with the weight of this many labels of its own. So the fewer photos have the class, the
 * nearer its threshold is to the one that is best for all classes.
 */
const weightOfAll = 5

/** The thresholds to choose from. */
const thresholds = Array.from({ length: 99 }, (_, i) => (i + 1) / 100)

/** Labels found at each threshold. */
interface Curve {
  hits: Float64Array
  found: Float64Array
  there: number
}

const emptyCurve = (): Curve => ({
  hits: new Float64Array(thresholds.length),
  found: new Float64Array(thresholds.length),
  there: 0,
})

/** Adds a class of a photo; with weight -1 takes it out again. */
function count(curve: Curve, presence: number, isThere: boolean, weight: 1 | -1): void {
  if (isThere) curve.there += weight
  for (let i = 0; i < thresholds.length && presence >= (thresholds[i] as number); i++) {
    curve.found[i] = (curve.found[i] as number) + weight
    if (isThere) curve.hits[i] = (curve.hits[i] as number) + weight
  }
}

/** Thresholds whose F1 is lower than the largest one by at most this are taken for equally good. */
const tolerance = 0.01

const fromDefault = (threshold: number): number => Math.abs(threshold - defaults.labelThreshold)

/** Of the thresholds with about the largest F1 the nearest to the default. Undefined if no photo has the class. */
function bestThreshold(own: Curve, all: Curve): number | undefined {
  if (own.there === 0) return undefined
  const weight = weightOfAll / all.there
  const f1 = thresholds.map((_, i) => {
    const hits = (own.hits[i] as number) + weight * (all.hits[i] as number)
    const found = (own.found[i] as number) + weight * (all.found[i] as number)
    return (2 * hits) / (found + own.there + weightOfAll)
  })
  const least = Math.max(...f1) - tolerance
  const good = thresholds.filter((_, i) => (f1[i] as number) >= least)
  return good.reduce((best, threshold) => (fromDefault(threshold) < fromDefault(best) ? threshold : best))
}

function judge(counts: Counts, isFound: boolean, isThere: boolean): void {
  if (isFound) counts.found++
  if (isThere) counts.there++
  if (isFound && isThere) counts.hits++
}

/**
 * The threshold of each class with the largest F1 on photos whose labels are known, and how good the default and these thresholds are. A threshold
 * would look too good on the photos that chose it, so each photo is judged by what the others choose (leave-one-out).
 * @param classes how many there are
 */
export function calibrate(photos: readonly JudgedPhoto[], classes: number): Calibration[] {
  const all = emptyCurve()
  const curves = Array.from({ length: classes }, emptyCurve)
  const none = (): Counts => ({ hits: 0, found: 0, there: 0 })
  const judged = curves.map(() => ({ atDefault: none(), leftOut: none() }))
  const change = ({ presence, labels }: JudgedPhoto, weight: 1 | -1): void => {
    for (const [c, curve] of curves.entries()) {
      count(curve, presence[c] as number, labels.includes(c), weight)
      count(all, presence[c] as number, labels.includes(c), weight)
    }
  }
  for (const photo of photos) change(photo, 1)
  for (const photo of photos) {
    change(photo, -1)
    for (const [c, { atDefault, leftOut }] of judged.entries()) {
      const [presence, isThere] = [photo.presence[c] as number, photo.labels.includes(c)]
      judge(atDefault, presence >= defaults.labelThreshold, isThere)
      // Every threshold is above 0: what has no presence is not found, whatever the others choose.
      const threshold = presence > 0 ? bestThreshold(curves[c] as Curve, all) : undefined
      judge(leftOut, presence >= (threshold ?? defaults.labelThreshold), isThere)
    }
    change(photo, 1)
  }
  return judged.map((counts, c) => ({ ...counts, threshold: bestThreshold(curves[c] as Curve, all) }))
}

/** Over all classes together. */
export function sumCounts(all: readonly Counts[]): Counts {
  const sum = (part: keyof Counts) => all.reduce((total, counts) => total + counts[part], 0)
  return { hits: sum('hits'), found: sum('found'), there: sum('there') }
}

/** In [0, 1]; null where nothing is found, or nothing is there. */
export interface Quality {
  precision: number | null
  recall: number | null
  f1: number | null
}

const share = (part: number, whole: number): number | null => (whole ? part / whole : null)

export const qualityOf = ({ hits, found, there }: Counts): Quality => ({
  precision: share(hits, found),
  recall: share(hits, there),
  f1: share(2 * hits, found + there),
})
