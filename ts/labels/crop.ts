import type { NativeImage } from '../engine/native.js'
import type { Box, Grid } from './patches.js'
import { resize } from './resize.js'

/**
 * The part of an image that a box of its patches covers, in whole pixels, with a margin on each side. Its rows are read in place: nothing
 * is copied.
 * @param margin as a fraction of the box's longer side
 */
export function cropToPatches(image: NativeImage, box: Box, grid: Grid, margin: number): NativeImage {
  const { data, width, height, channels, rowBytes } = image
  const [scaleX, scaleY] = [width / grid.width, height / grid.height]
  const more = margin * Math.max((box.right - box.left) * scaleX, (box.bottom - box.top) * scaleY)
  const left = Math.max(0, Math.floor(box.left * scaleX - more))
  const right = Math.min(width, Math.ceil(box.right * scaleX + more))
  const top = Math.max(0, Math.floor(box.top * scaleY - more))
  const bottom = Math.min(height, Math.ceil(box.bottom * scaleY + more))
  const begin = top * rowBytes + left * channels
  const end = (bottom - 1) * rowBytes + right * channels
  return { ...image, data: data.subarray(begin, end), width: right - left, height: bottom - top }
}

/** The image with its longer side `side` pixels long. */
export async function resizeTo(image: NativeImage, side: number, signal: AbortSignal | undefined): Promise<NativeImage> {
  const scale = side / Math.max(image.width, image.height)
  const scaled = (length: number) => Math.max(1, Math.round(length * scale))
  return await resize(image, scaled(image.width), scaled(image.height), signal)
}
