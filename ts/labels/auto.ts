import type { ClassSet } from '../classes/class_set.js'
import { type CompetingTexts, competingTexts, textProbabilities, textProbabilitiesInTurns } from '../classes/text_scores.js'
import { checkAttached } from '../core/check.js'
import { inOrder } from '../core/in_order.js'
import type { Timings } from '../core/types.js'
import type { NativeEncodedImage, NativeImage } from '../engine/native.js'
import type { Caller, PhotoJobs } from '../engine/photo_jobs.js'
import { cropToPatches } from './crop.js'
import { classBox, largestValues, smoothPatches } from './patches.js'

/** Classes that are less present than this at every patch are not looked at closely. */
const leastAtPatches = 0.12
/** Of a class's largest value at any patch: what belongs to the same thing. */
const shareOfPeak = 0.4

export interface Found {
  /** Of each class, in [0, 1]. */
  presence: Float64Array
  /** Of the crops that were encoded. */
  timings: Readonly<Timings>[]
}

const textsOf = new WeakMap<ClassSet, CompetingTexts>()

function competing(classes: ClassSet): CompetingTexts {
  const known = textsOf.get(classes)
  const texts = known ?? competingTexts(classes, 'with background')
  if (!known) textsOf.set(classes, texts)
  return texts
}

/**
 * Decides by CLIP itself which classes are in a photo. Beyond CLIP-ES, which is given them; after TagCLIP (arXiv 2312.12828), which asks
 * the patches first, since in a photo's one embedding large things drown small ones, and then looks at each class again by itself.
 *
 * A class's presence is the geometric mean of its largest probability at any patch, and of its probability in a crop of the photo around
 * that patch, encoded by itself. It is 0 for classes that no patch speaks for. The crops of all other classes are encoded side by side.
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
  const atPatches = largestValues(smooth, texts.classes)
  const candidates = [...atPatches.keys()].filter((c) => (atPatches[c] as number) >= leastAtPatches)
  const found: Found = { presence: new Float64Array(texts.classes), timings: [] }
  const closer = inOrder(candidates, jobs.window, caller.signal, async (c) => {
    checkAttached(caller.call, 'image.data', image.data)
    const crop = cropToPatches(image, classBox(smooth, grid, texts.classes, c, shareOfPeak), grid)
    return { c, ...(await jobs.crops.use(caller.signal, () => probabilitiesOf(jobs, crop, texts, caller))) }
  })
  for await (const { c, probabilities: inCrop, timings } of closer) {
    found.presence[c] = Math.sqrt((atPatches[c] as number) * (inCrop[c] as number))
    found.timings.push(timings)
  }
  return found
}

/** Of an image as a whole. */
async function probabilitiesOf(
  jobs: PhotoJobs,
  image: NativeImage,
  texts: CompetingTexts,
  caller: Caller,
): Promise<{ probabilities: Float64Array; timings: Readonly<Timings> }> {
  const encoded = await jobs.encode(image, caller)
  try {
    const { image: whole, logitScale } = await jobs.embeddings(encoded, false, caller)
    return { probabilities: textProbabilities(whole, texts, logitScale), timings: encoded.timings }
  } finally {
    encoded.dispose()
  }
}
