import type { ClassSet } from '../class_set.js'
import type { EncodedImage } from '../encoded_image.js'
import { invalid } from '../errors.js'
import { type CompetingTexts, competingTexts, textProbabilities } from '../text_scores.js'

/** Classes that were found in a photo. */
export interface FoundLabels {
  /** Indices of classes, ascending; none where nothing was found. */
  labels: number[]
  /** How sure: their presence, in [0, 1]. */
  presence: number[]
}

/**
 * Decides by CLIP itself which classes are in a photo. Beyond CLIP-ES, which is given them; after TagCLIP (arXiv 2312.12828), which asks
 * the patches and not the photo as a whole: in a photo's one embedding, large things drown small ones.
 */
export class LabelFinder {
  readonly #texts: CompetingTexts

  /** @throws ERR_INVALID_ARG for classes without background words: there, every patch would be one of the classes */
  constructor(
    classes: ClassSet,
    readonly threshold: number,
  ) {
    if (!classes.background.length)
      throw invalid('labels cannot be found without background words, which say what is none of the classes; give some')
    this.#texts = competingTexts(classes, 'with background')
  }

  async find(image: EncodedImage, signal?: AbortSignal): Promise<FoundLabels> {
    const { patches, logitScale } = await image.embeddings({ patches: true, signal })
    const probabilities = textProbabilities(patches as Float32Array, this.#texts, logitScale)
    const presence = classPresence(probabilities, image.grid, this.#texts.classes)
    const labels = [...presence.keys()].filter((c) => (presence[c] as number) >= this.threshold)
    return { labels, presence: labels.map((c) => presence[c] as number) }
  }
}

/**
 * A class's presence: its largest probability at any patch, averaged over the patch and its up to eight neighbours, so that one odd
 * patch is no evidence.
 * @param probabilities (patches, texts), classes first
 * @returns (classes)
 */
export function classPresence(
  probabilities: Float64Array,
  { width, height }: { width: number; height: number },
  classes: number,
): Float64Array {
  const texts = probabilities.length / (width * height)
  const presence = new Float64Array(classes)
  const sum = new Float64Array(classes)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      sum.fill(0)
      const [left, right] = [Math.max(0, x - 1), Math.min(width - 1, x + 1)]
      const [top, bottom] = [Math.max(0, y - 1), Math.min(height - 1, y + 1)]
      for (let v = top; v <= bottom; v++)
        for (let u = left; u <= right; u++)
          for (let c = 0, at = (v * width + u) * texts; c < classes; c++, at++)
            sum[c] = (sum[c] as number) + (probabilities[at] as number)
      const count = (right - left + 1) * (bottom - top + 1)
      for (let c = 0; c < classes; c++) presence[c] = Math.max(presence[c] as number, (sum[c] as number) / count)
    }
  return presence
}
