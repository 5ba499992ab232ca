import { ignored } from '../core/defaults.js'
import type { ImageData } from '../core/types.js'
import { encodeCams } from '../formats/cams.js'
import { encodeConfidence } from '../photos/confidence_png.js'
import { encodeMask } from '../photos/mask_png.js'
import { drawOverlay } from '../photos/overlay.js'
import { maskPalette, parseColour, vividColour } from '../photos/palette.js'

/** The files that can be written for a photo. */
export type OutputKind = 'mask' | 'overlay' | 'confidence' | 'cams'

/** A photo with its mask. */
export interface Segmented {
  photo: ImageData
  /** height * width: 0 background, c + 1 class c, 255 ignored. */
  mask: Uint8Array
  /** Indices of the classes that were looked for. */
  labels: readonly number[]
  /** Their probabilities, if CLIP gave them. */
  scores?: ArrayLike<number>
  /** height * width. Needed for the output 'confidence'. */
  confidence?: Float32Array
  /** labels * height * width. Needed for the output 'cams'. */
  cams?: Float32Array
}

/** How classes are shown. */
export interface Legend {
  names: readonly string[]
  /** As class files write them, by class. Undefined: VOC's colour in masks, a vivid one in overlays. */
  colours: readonly (string | undefined)[]
}

/** The share of a mask's pixels that have a value. */
export function sharesOf(mask: Uint8Array): (value: number) => number {
  const counts = new Uint32Array(256)
  for (const value of mask) counts[value] = (counts[value] as number) + 1
  return (value) => (counts[value] as number) / mask.length
}

/** The share of a mask's pixels that are ignored. */
export const ignoredShare = (mask: Uint8Array): number => sharesOf(mask)(ignored)

const fullLegend = 8 // with more labels, the legend of an overlay has only those that were found

function overlayOf({ photo, mask, labels, scores }: Segmented, { names, colours }: Legend): Promise<Buffer> {
  const share = sharesOf(mask)
  const drawn = labels.map((label, i) => {
    const own = colours[label]
    const colour = own === undefined ? vividColour(i) : parseColour(own) // the colours of neighbours in the list differ most
    return { name: names[label] as string, value: label + 1, colour, probability: scores?.[i] }
  })
  return drawOverlay(
    photo,
    mask,
    drawn.filter(({ value }) => drawn.length <= fullLegend || share(value) > 0),
  )
}

/**
 * The bytes of the files asked for, in that order.
 * @param source path of the photo from the mask's folder, to be kept in the mask
 */
export async function encodeOutputs<Kind extends OutputKind>(
  kinds: readonly Kind[],
  segmented: Segmented,
  legend: Legend,
  source?: string,
): Promise<Map<Kind, Uint8Array>> {
  const { photo, mask, labels, confidence, cams } = segmented
  const { width, height } = photo
  const encode = async (kind: OutputKind): Promise<Uint8Array> => {
    switch (kind) {
      case 'mask':
        return await encodeMask(mask, { width, height, palette: maskPalette(legend.colours), photo: source })
      case 'overlay':
        return await overlayOf(segmented, legend)
      case 'confidence':
        return await encodeConfidence(confidence as Float32Array, width, height)
      case 'cams':
        return encodeCams([...labels], cams as Float32Array, width, height)
    }
  }
  return new Map(await Promise.all(kinds.map(async (kind) => [kind, await encode(kind)] as const)))
}
