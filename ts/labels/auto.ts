import type { ClassSet } from '../class_set.js'
import type { EncodedImage } from '../encoded_image.js'
import { invalid } from '../errors.js'
import type { Segmenter } from '../segmenter.js'
import { type CompetingTexts, competingTexts, textProbabilities } from '../text_scores.js'
import type { ImageData } from '../types.js'
import { cropToPatches } from './crop.js'
import { classBox, largestValues, smoothPatches } from './patches.js'

/** Classes that are less present than this at every patch are not looked at closely. */
const leastAtPatches = 0.12
/** Of a class's largest value at any patch: what belongs to the same thing. */
const shareOfPeak = 0.4

/** Classes that were found in a photo. */
export interface FoundLabels {
  /** Indices of classes, ascending; none where nothing was found. */
  labels: number[]
  /** How sure: their presence, in [0, 1]. */
  presence: number[]
}

/**
 * Decides by CLIP itself which classes are in a photo. Beyond CLIP-ES, which is given them; after TagCLIP (arXiv 2312.12828), which asks
 * the patches first, since in a photo's one embedding large things drown small ones, and then looks at each class again by itself.
 */
export class LabelFinder {
  readonly #texts: CompetingTexts

  /** @throws ERR_INVALID_ARG for classes without background words: there, every patch would be one of the classes */
  constructor(
    readonly segmenter: Segmenter,
    classes: ClassSet,
    readonly threshold: number,
  ) {
    if (!classes.background.length)
      throw invalid('labels cannot be found without background words, which say what is none of the classes; give some')
    this.#texts = competingTexts(classes, 'with background')
  }

  /** The classes whose presence is not below the threshold. */
  async find(image: ImageData, encoded: EncodedImage, signal?: AbortSignal): Promise<FoundLabels> {
    const presence = await this.presence(image, encoded, signal)
    const labels = [...presence.keys()].filter((c) => (presence[c] as number) >= this.threshold)
    return { labels, presence: labels.map((c) => presence[c] as number) }
  }

  /**
   * Every class's presence: the geometric mean of its largest probability at any patch, and of its probability in the part of the photo
   * around that patch, cut out and encoded by itself. 0 for classes that no patch speaks for.
   * @param encoded the same image's
   */
  async presence(image: ImageData, encoded: EncodedImage, signal?: AbortSignal): Promise<Float64Array> {
    const { patches, logitScale } = await encoded.embeddings({ patches: true, signal })
    const { grid } = encoded
    const { classes } = this.#texts
    const smooth = smoothPatches(textProbabilities(patches as Float32Array, this.#texts, logitScale), grid, classes)
    const atPatches = largestValues(smooth, classes)
    const presence = new Float64Array(classes)
    for (const [c, largest] of atPatches.entries()) {
      if (largest < leastAtPatches) continue
      const part = cropToPatches(image, classBox(smooth, grid, classes, c, shareOfPeak), grid)
      presence[c] = Math.sqrt(largest * ((await this.#probabilities(part, signal))[c] as number))
    }
    return presence
  }

  /** Of an image as a whole. */
  async #probabilities(image: ImageData, signal: AbortSignal | undefined): Promise<Float64Array> {
    const encoded = await this.segmenter.encode(image, { signal })
    try {
      const { image: whole, logitScale } = await encoded.embeddings({ signal })
      return textProbabilities(whole, this.#texts, logitScale)
    } finally {
      encoded.dispose()
    }
  }
}
