import { types } from 'node:util'
import { constants } from 'node:zlib'
import { checkInteger, checkOptions, checkText, wrong } from '../core/check.js'
import { invalid } from '../core/errors.js'
import { markChunks } from './mark.js'
import { maskPalette } from './palette.js'
import { type Chunk, colourType, pixelChunk, pngFile, readChunks, rowFilter, signature } from './png_file.js'
import { loadSharp } from './sharp.js'
import { type FileSource, readSource } from './source.js'

// sharp can neither write nor read the indices of a palette image: its palette option chooses colours anew, and reading expands
// them. So masks are written here, and read by giving libpng a palette in which every index is its own colour.

/** A label for every pixel, row by row. */
export interface LabelMap {
  /** width * height values: 0 background, c + 1 the class c, 255 ignored. */
  data: Uint8Array
  width: number
  height: number
}

export interface EncodeMaskOptions {
  width: number
  height: number
  /** The colour of each value, 256 * 3 bytes, or 'grey' for a grey PNG whose levels are the values. Default: `maskPalette()`, VOC's colours. */
  palette?: Uint8Array | 'grey'
  /** The path of the photo from the folder of the mask, to be kept in the file. */
  photo?: string
}

const call = 'encodeMask()'
const paletteBytes = 256 * 3
const largestSide = 2 ** 31 - 1 // of PNG

/**
 * A mask as a PNG file with one byte a pixel. Its palette indices, or its grey levels, are exactly the values of the mask.
 * @param mask width * height values, as `result.mask` has them
 * @throws ERR_INVALID_ARG for a mask, palette or size that do not fit
 */
export async function encodeMask(mask: Uint8Array, options: EncodeMaskOptions): Promise<Buffer> {
  const given = checkOptions<EncodeMaskOptions>(call, options, ['width', 'height', 'palette', 'photo'])
  const width = checkInteger(call, 'width', given.width, 1, largestSide)
  const height = checkInteger(call, 'height', given.height, 1, largestSide)
  if (!types.isUint8Array(mask)) throw wrong(call, 'mask', mask, 'a Uint8Array of width * height values')
  if (mask.length !== width * height)
    throw invalid(`${call}: the mask has ${mask.length} values; ${width} x ${height} needs ${width * height}`)
  const palette = paletteChunks(given.palette ?? maskPalette())
  const photo = given.photo === undefined ? undefined : checkText(call, 'photo', given.photo)
  // Labels lie in runs. Filters only break them up, and a search for anything but runs takes five times as long and finds nothing.
  const rows = Buffer.alloc((width + 1) * height, rowFilter.none)
  for (let y = 0; y < height; y++) rows.set(mask.subarray(y * width, (y + 1) * width), y * (width + 1) + 1)
  const pixels = await pixelChunk(rows, { level: 6, strategy: constants.Z_RLE })
  const colour = palette.length ? colourType.palette : colourType.grey
  return pngFile({ width, height, bitDepth: 8, colour }, [...markChunks('mask', photo), ...palette, pixels])
}

function paletteChunks(palette: Uint8Array | 'grey'): Chunk[] {
  if (palette === 'grey') return []
  if (!types.isUint8Array(palette)) throw wrong(call, 'palette', palette, "a Uint8Array of 768 bytes (256 colours), or 'grey'")
  if (palette.length !== paletteBytes)
    throw invalid(
      `${call}: palette has ${palette.length} bytes; expected ${paletteBytes} (256 colours), as maskPalette() makes it`,
    )
  return [{ type: 'PLTE', data: palette }]
}

/**
 * Reads a mask: a palette or grey PNG of up to 8 bits a pixel. The values are the palette indices, or the grey levels as they are stored.
 * @param source path, file URL, or the bytes of a file
 * @throws ERR_INVALID_ARG for a file that cannot be read or is not a mask; the message begins with its path, or with "the image" for bytes.
 * ERR_IO if sharp is not installed.
 */
export async function readMask(source: FileSource): Promise<LabelMap> {
  return await readSource('readMask()', source, undefined, decodeMask)
}

async function decodeMask(png: Buffer): Promise<LabelMap> {
  if (!png.subarray(0, signature.length).equals(signature)) throw invalid('it is not a PNG file; masks are PNG files')
  const [first, ...rest] = readChunks(png)
  if (first?.type !== 'IHDR' || first.data.length !== 13) throw invalid('it is a damaged PNG file: it has no header')
  const [width, height] = [first.data.readUInt32BE(0), first.data.readUInt32BE(4)]
  const [bitDepth, colour, , , interlace] = first.data.subarray(8) as unknown as [number, number, number, number, number]
  if ((colour !== colourType.grey && colour !== colourType.palette) || bitDepth > 8)
    throw invalid(
      `it is a PNG file of colour type ${colour} with ${bitDepth} bits a channel; masks are palette or grey PNG files of up to 8 bits`,
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
    .catch((cause: Error) => {
      throw invalid(`it is a damaged PNG file: ${cause.message}`, { cause })
    })
  const labels = new Uint8Array(width * height)
  for (let i = 0; i < labels.length; i++) labels[i] = data[i * info.channels] as number
  return { data: labels, width, height }
}
