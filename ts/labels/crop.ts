import type { Box } from '../core/box.js'
import type { Grid } from './patches.js'

/**
 * The whole pixels of a photo that a box of its patches covers, with a margin on each side.
 * @param margin as a fraction of the box's longer side
 */
export function cropBox(photo: { width: number; height: number }, box: Box, grid: Grid, margin: number): Box {
  const [scaleX, scaleY] = [photo.width / grid.width, photo.height / grid.height]
  const more = margin * Math.max((box.right - box.left) * scaleX, (box.bottom - box.top) * scaleY)
  return {
    left: Math.max(0, Math.floor(box.left * scaleX - more)),
    top: Math.max(0, Math.floor(box.top * scaleY - more)),
    right: Math.min(photo.width, Math.ceil(box.right * scaleX + more)),
    bottom: Math.min(photo.height, Math.ceil(box.bottom * scaleY + more)),
  }
}
