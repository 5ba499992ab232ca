import type { ImageData } from '../types.js'
import type { Box, Grid } from './patches.js'

/** The part of an image that a box of its patches covers, grown to whole pixels. */
export function cropToPatches({ data, width, height }: ImageData, box: Box, grid: Grid): ImageData {
  const channels = data.length / (width * height)
  const [left, right] = [Math.floor((box.left * width) / grid.width), Math.ceil((box.right * width) / grid.width)]
  const [top, bottom] = [Math.floor((box.top * height) / grid.height), Math.ceil((box.bottom * height) / grid.height)]
  const line = (right - left) * channels
  const cropped = new Uint8Array(line * (bottom - top))
  for (let y = top; y < bottom; y++) {
    const begin = (y * width + left) * channels
    cropped.set(data.subarray(begin, begin + line), (y - top) * line)
  }
  return { data: cropped, width: right - left, height: bottom - top }
}
