import type { NativeImage } from '../engine/native.js'
import type { Box, Grid } from './patches.js'

/** The part of an image that a box of its patches covers, grown to whole pixels. Its rows are read in place: nothing is copied. */
export function cropToPatches(image: NativeImage, box: Box, grid: Grid): NativeImage {
  const { data, width, height, channels, rowBytes } = image
  const [left, right] = [Math.floor((box.left * width) / grid.width), Math.ceil((box.right * width) / grid.width)]
  const [top, bottom] = [Math.floor((box.top * height) / grid.height), Math.ceil((box.bottom * height) / grid.height)]
  const begin = top * rowBytes + left * channels
  const end = (bottom - 1) * rowBytes + right * channels
  return { ...image, data: data.subarray(begin, end), width: right - left, height: bottom - top }
}
