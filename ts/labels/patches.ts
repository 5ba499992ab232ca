import type { Box } from '../core/box.js'

/** Sides of what a photo was cut into. */
export interface Grid {
  width: number
  height: number
}

/**
 * Each patch's probabilities of the classes, averaged over it and its up to eight neighbours, so that one odd patch is not evidence.
 * @param probabilities (patches, texts), classes first
 * @returns (patches, classes)
 */
export function smoothPatches(probabilities: Float64Array, { width, height }: Grid, classes: number): Float64Array {
  const texts = probabilities.length / (width * height)
  const smooth = new Float64Array(width * height * classes)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const { left, top, right, bottom } = grow({ left: x, top: y, right: x + 1, bottom: y + 1 }, { width, height })
      const sum = smooth.subarray((y * width + x) * classes, (y * width + x + 1) * classes)
      for (let v = top; v < bottom; v++)
        for (let u = left; u < right; u++)
          for (let c = 0, at = (v * width + u) * texts; c < classes; c++, at++)
            sum[c] = (sum[c] as number) + (probabilities[at] as number)
      const count = (right - left) * (bottom - top)
      for (let c = 0; c < classes; c++) sum[c] = (sum[c] as number) / count
    }
  return smooth
}

/** Per class its largest value at any patch. `smooth`: (patches, classes). */
export function largestValues(smooth: Float64Array, classes: number): Float64Array {
  const largest = new Float64Array(classes)
  for (let at = 0; at < smooth.length; at += classes)
    for (let c = 0; c < classes; c++) largest[c] = Math.max(largest[c] as number, smooth[at + c] as number)
  return largest
}

/**
 * Where a class is seen: the box of the patches around its largest value that are connected (side by side) and at least `share` of it.
 * @param smooth (patches, classes)
 */
export function classBox(smooth: Float64Array, grid: Grid, classes: number, c: number, share: number): Box {
  const { width, height } = grid
  const value = (patch: number): number => smooth[patch * classes + c] as number
  let peak = 0
  for (let patch = 1; patch < width * height; patch++) if (value(patch) > value(peak)) peak = patch
  const least = share * value(peak)
  const box = { left: width, top: height, right: 0, bottom: 0 }
  const seen = new Set([peak])
  for (const patch of seen) {
    const [x, y] = [patch % width, Math.floor(patch / width)]
    box.left = Math.min(box.left, x)
    box.top = Math.min(box.top, y)
    box.right = Math.max(box.right, x + 1)
    box.bottom = Math.max(box.bottom, y + 1)
    // A set that grows while it is walked is walked to its new end.
    if (x > 0 && value(patch - 1) >= least) seen.add(patch - 1)
    if (x < width - 1 && value(patch + 1) >= least) seen.add(patch + 1)
    if (y > 0 && value(patch - width) >= least) seen.add(patch - width)
    if (y < height - 1 && value(patch + width) >= least) seen.add(patch + width)
  }
  return box
}

/** One more on each side, as far as there is. */
const grow = ({ left, top, right, bottom }: Box, { width, height }: Grid): Box => ({
  left: Math.max(0, left - 1),
  top: Math.max(0, top - 1),
  right: Math.min(width, right + 1),
  bottom: Math.min(height, bottom + 1),
})

/** The largest value that a class has in a box. `smooth`: (patches, classes). */
export function largestInBox(smooth: Float64Array, grid: Grid, classes: number, c: number, box: Box): number {
  let largest = 0
  for (let y = box.top; y < box.bottom; y++)
    for (let x = box.left; x < box.right; x++) largest = Math.max(largest, smooth[(y * grid.width + x) * classes + c] as number)
  return largest
}
