import { encodeMask, maskPalette } from 'clip-es/photos'
import { withMark } from 'clip-es/support'
import sharp from 'sharp'
import { type ExportClass, type ExportPhoto, valuesIn } from './photo.js'

// Pictures are marked as those of clip-es, so that a later run does not take them for photos.

/**
 * A grey PNG of 8 bits with the values of the mask: 0 background, 1 the first class, …, 255 ignored.
 * @throws ERR_INVALID_ARG for a mask with a value that has no class
 */
export async function encodeGrey(photo: ExportPhoto, classes: readonly ExportClass[]): Promise<Buffer> {
  valuesIn(photo, classes)
  const { mask, width, height } = photo
  return await encodeMask(mask, { width, height, palette: 'grey' })
}

/**
 * An RGB PNG of 8 bits a channel: every pixel has the colour of its class (the class file's, else VOC's), background is black, and ignored
 * pixels have VOC's colour of 255, (224, 224, 192).
 * @throws ERR_INVALID_ARG for a mask with a value that has no class
 */
export async function encodeRgb(photo: ExportPhoto, classes: readonly ExportClass[]): Promise<Buffer> {
  valuesIn(photo, classes)
  const { mask, width, height } = photo
  const palette = maskPalette(classes.map(({ colour }) => colour))
  const pixels = new Uint8Array(3 * mask.length)
  for (const [i, value] of mask.entries()) pixels.set(palette.subarray(3 * value, 3 * value + 3), 3 * i)
  return withMark(
    await sharp(pixels, { raw: { width, height, channels: 3 } })
      .png()
      .toBuffer(),
    'overlay',
  )
}
