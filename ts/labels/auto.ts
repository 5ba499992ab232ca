import type { ClassSet } from '../classes/class_set.js'
import { type CompetingTexts, competingTexts, textProbabilities, textProbabilitiesInTurns } from '../classes/text_scores.js'
import type { Box } from '../core/box.js'
import type { Timings } from '../core/segment_types.js'
import type { NativeEncodedImage, NativeImage } from '../engine/native.js'
import type { Caller, PhotoJobs } from '../engine/photo_jobs.js'
import { cropBox } from './crop.js'
import { classBox, largestInBox, largestValues, smoothPatches } from './patches.js'

/** Classes that are less present than this at every patch are not looked at closely. */
const leastAtPatches = 0.09
/** Of a class's largest value at any patch: what belongs to the same thing. */
const shareOfPeak = 0.4
/** A region is looked at in crops with these margins, as fractions of its longer side. */
export const margins: readonly number[] = [0.15, 0.3]

export interface Found {
  /** Of each class, in [0, 1]. */
  presence: Float64Array
  /** Of the jobs that encoded crops. */
  timings: Readonly<Timings>[]
}

const textsOf = new WeakMap<ClassSet, CompetingTexts>()

function competing(classes: ClassSet): CompetingTexts {
  const known = textsOf.get(classes)
  const texts = known ?? competingTexts(classes, 'with background')
  if (!known) textsOf.set(classes, texts)
  return texts
}

/** A part of the photo, and the classes whose patches drew its box. */
interface Region {
  box: Box
  classes: number[]
}

/**
 * Decides by CLIP itself which classes are in a photo. Beyond CLIP-ES, which is given them; after TagCLIP (arXiv 2312.12828), which asks
 * the patches first, since in a photo's one embedding large things drown small ones, and then looks at each class again by itself.
 *
 * The patches propose regions: a box for each class that they speak for. Each region is cut out with two margins, and each crop is
 * enlarged or reduced to the size that the model was trained on, and encoded. A region is evidence for the class that proposed it and for
 * the class that is most probable in the crops. The evidence is the geometric mean of the class's probability in the crops, and of its
 * largest probability at any patch of the region. A class's presence is the strongest evidence for it, 0 without any.
 */
export async function findPresence(
  jobs: PhotoJobs,
  { image, encoded }: { image: NativeImage; encoded: NativeEncodedImage },
  classes: ClassSet,
  caller: Caller,
): Promise<Found> {
  const texts = competing(classes)
  const grid = { width: encoded.gridWidth, height: encoded.gridHeight }
  const { patches, logitScale } = await jobs.embeddings(encoded, true, caller)
  const probabilities = await textProbabilitiesInTurns(patches as Float32Array, texts, logitScale, caller.signal)
  const smooth = smoothPatches(probabilities, grid, texts.classes)
  const regions = proposeRegions(smooth, grid, texts.classes)
  const boxes = regions.flatMap(({ box }) => margins.map((margin) => cropBox(image, box, grid, margin)))
  const { embeddings, timings } = await jobs.embedCrops(image, boxes, caller)
  const presence = new Float64Array(texts.classes)
  const length = margins.length * texts.embedding // of the crops of a region
  for (const [i, region] of regions.entries()) {
    const mean = meanDirection(embeddings.subarray(i * length, (i + 1) * length), texts.embedding)
    const inCrops = textProbabilities(mean, texts, logitScale)
    for (const c of new Set([...region.classes, mostProbable(inCrops, texts.classes)])) {
      const evidence = Math.sqrt((inCrops[c] as number) * largestInBox(smooth, grid, texts.classes, c, region.box))
      presence[c] = Math.max(presence[c] as number, evidence)
    }
  }
  return { presence, timings }
}

/** Classes with the same box share a region. */
function proposeRegions(smooth: Float64Array, grid: { width: number; height: number }, classes: number): Region[] {
  const regions = new Map<string, Region>()
  for (const [c, peak] of largestValues(smooth, classes).entries()) {
    if (peak < leastAtPatches) continue
    const box = classBox(smooth, grid, classes, c, shareOfPeak)
    const key = [box.left, box.top, box.right, box.bottom].join()
    const region = regions.get(key) ?? { box, classes: [] }
    region.classes.push(c)
    regions.set(key, region)
  }
  return [...regions.values()]
}

function mostProbable(probabilities: Float64Array, classes: number): number {
  let best = 0
  for (let c = 1; c < classes; c++) if ((probabilities[c] as number) > (probabilities[best] as number)) best = c
  return best
}

/** The mean of rows, with length one. */
export function meanDirection(rows: Float32Array, length: number): Float32Array {
  const sum = new Float32Array(length)
  for (const [i, value] of rows.entries()) sum[i % length] = (sum[i % length] as number) + value
  const norm = Math.hypot(...sum)
  return sum.map((value) => value / norm)
}
