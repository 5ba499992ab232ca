import { ignored } from 'clip-es'
import { invalid } from 'clip-es/support'

/**
 * Intersection over union of one label's pixels. Pixels that the truth ignores (255) are left out; ones that the mask ignores are
 * not found. NaN when neither holds the label.
 */
export function iou(mask: Uint8Array, truth: Uint8Array, value: number): number {
  if (mask.length !== truth.length)
    throw invalid(`iou(): a mask of ${mask.length} pixels and a truth of ${truth.length}; they must be of one picture`)
  let both = 0
  let either = 0
  for (let i = 0; i < truth.length; i++) {
    if (truth[i] === ignored) continue
    const found = mask[i] === value
    const there = truth[i] === value
    if (found && there) both++
    if (found || there) either++
  }
  return both / either
}
