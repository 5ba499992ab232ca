import { constants } from 'node:zlib'
import { invalid } from '../errors.js'
import { markChunks } from './mark.js'
import { colourType, pixelChunk, pngFile, readChunks, rowFilter, signature } from './png_file.js'
import { loadSharp } from './sharp.js'

// sharp has no way to write or read the indices of a palette image: its palette option chooses colours anew, and reading expands
// them. So masks are written here, and read by giving libpng a palette in which every index is its own colour.

/** A label for every pixel, row by row. */
export interface LabelMap {
  data: Uint8Array
  width: number
  height: number
}

/**
 * A palette PNG whose indices are exactly the labels.
 * @param palette 256 * 3 bytes, as `maskPalette` makes it
 * @param source the photo's path from the mask's folder, to be kept in the file
 */
export async function encodeLabels({ data, width, height }: LabelMap, palette: Uint8Array, source?: string): Promise<Buffer> {
  if (data.length !== width * height)
    throw invalid(`encodeLabels(): ${data.length} labels; ${width} x ${height} needs ${width * height}`)
  if (palette.length !== 256 * 3)
    throw invalid(`encodeLabels(): a palette of ${palette.length} bytes; it needs 768 (256 colours)`)
  // Labels lie in runs: filters only break them up, and looking for anything but runs takes five times as long and finds nothing.
  const rows = Buffer.alloc((width + 1) * height, rowFilter.none)
  for (let y = 0; y < height; y++) rows.set(data.subarray(y * width, (y + 1) * width), y * (width + 1) + 1)
  const pixels = await pixelChunk(rows, { level: 6, strategy: constants.Z_RLE })
  return pngFile({ width, height, bitDepth: 8, colour: colourType.palette }, [
    ...markChunks('mask', source),
    { type: 'PLTE', data: palette },
    pixels,
  ])
}

/** The labels of a palette or grey PNG of up to 8 bits a pixel: its indices, or its grey levels as they are stored. */
export async function decodeLabels(file: Uint8Array): Promise<LabelMap> {
  const png = Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  if (!png.subarray(0, 8).equals(signature)) throw invalid('a label map must be a PNG file; this is none')
  const [first, ...rest] = readChunks(png)
  if (first?.type !== 'IHDR' || first.data.length !== 13)
    throw invalid('the PNG file of the label map is damaged: it has no header')
  const [width, height] = [first.data.readUInt32BE(0), first.data.readUInt32BE(4)]
  const [bitDepth, colour, , , interlace] = first.data.subarray(8) as unknown as [number, number, number, number, number]
  if ((colour !== colourType.grey && colour !== colourType.palette) || bitDepth > 8)
    throw invalid(
      `a label map must be a palette or grey PNG of up to 8 bits; this one has colour type ${colour}, ${bitDepth} bits`,
    )
  // Grey is read as a palette image too: at 1, 2 and 4 bits libpng would stretch the levels to 0..255.
  const identity = Uint8Array.from({ length: 2 ** bitDepth * 3 }, (_, i) => Math.floor(i / 3))
  const plain = pngFile({ width, height, bitDepth, colour: colourType.palette, interlace }, [
    { type: 'PLTE', data: identity },
    ...rest.filter(({ type }) => type === 'IDAT'),
  ])
  const { data, info } = await loadSharp()(plain)
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch((error: Error) => {
      throw invalid(`the PNG file of the label map is damaged: ${error.message}`)
    })
  const labels = new Uint8Array(width * height)
  for (let i = 0; i < labels.length; i++) labels[i] = data[i * info.channels] as number
  return { data: labels, width, height }
}
