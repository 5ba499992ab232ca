import { colourType, markChunks, maskPalette, pixelChunk, pngFile, rowFilter } from 'clip-es/photos'
import { type ExportClass, type ExportPhoto, valuesIn } from './photo.js'

// Pictures are marked as those of clip-es, so that a later run does not take them for photos.

const bitDepth = 8

/**
 * A grey PNG of 8 bits with the values of the mask: 0 background, 1 the first class, …, 255 ignored.
 * @throws ERR_INVALID_ARG for a mask with a value that has no class
 */
export async function encodeGrey(photo: ExportPhoto, classes: readonly ExportClass[]): Promise<Buffer> {
  valuesIn(photo, classes)
  return await greyPng(photo.mask, photo.width, photo.height, markChunks('mask'))
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
  const chunk = await pixelChunk(rowsOf(pixels, 3 * width, height), { level: 6 })
  return pngFile({ width, height, bitDepth, colour: colourType.rgb }, [...markChunks('overlay'), chunk])
}

/** A grey PNG of 8 bits. `marks`: chunks before the pixels. */
export async function greyPng(
  levels: Uint8Array,
  width: number,
  height: number,
  marks: ReturnType<typeof markChunks> = [],
): Promise<Buffer> {
  const pixels = await pixelChunk(rowsOf(levels, width, height), { level: 6 })
  return pngFile({ width, height, bitDepth, colour: colourType.grey }, [...marks, pixels])
}

/** The rows of a PNG: each begins with its filter. */
function rowsOf(bytes: Uint8Array, rowBytes: number, height: number): Buffer {
  const rows = Buffer.alloc((rowBytes + 1) * height, rowFilter.none)
  for (let y = 0; y < height; y++) rows.set(bytes.subarray(y * rowBytes, (y + 1) * rowBytes), y * (rowBytes + 1) + 1)
  return rows
}
