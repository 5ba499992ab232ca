import type { Metadata } from 'sharp'
import { ClipEsError, invalid } from '../errors.js'
import { readRegular } from '../files/read_regular.js'
import type { ImageData } from '../types.js'
import { loadSharp } from './sharp.js'

/** An image file's pixels: RGB, 8 bits a channel in sRGB, the right way up. */
export interface Photo extends ImageData {
  data: Buffer
  /** Pages or frames of the file, of which this is the first. */
  pages: number
}

const formats: readonly string[] = ['jpeg', 'png', 'webp', 'heif', 'tiff']
const heicMessage = 'it is a HEIC file (HEIF with HEVC), which is not read; convert it to JPEG first'
const readable = 'JPEG, PNG, WebP, AVIF and TIFF files are read'

const reasons: Record<string, string> = {
  ENOENT: 'there is no such file',
  EACCES: 'it may not be read: its permissions forbid it',
}

async function readBytes(file: string): Promise<Buffer> {
  try {
    return await readRegular(file)
  } catch (error) {
    if (error instanceof ClipEsError) throw error
    const { code, message } = error as NodeJS.ErrnoException
    throw Object.assign(new Error(reasons[code ?? ''] ?? `it cannot be read (${message})`), { code })
  }
}

/** libvips says the same thing more than once, a line each. */
const firstLine = (error: unknown): string => (error as Error).message.split('\n')[0] as string

const heicBrands: readonly string[] = ['heic', 'heix', 'heim', 'heis', 'hevc', 'hevx', 'hevm', 'hevs']

/** Whether a file is HEIF with HEVC inside, as phones write it: the build of sharp reads HEIF with AV1 (AVIF) only. */
function isHeic(bytes: Buffer): boolean {
  if (bytes.toString('latin1', 4, 8) !== 'ftyp') return false
  const brands: string[] = bytes.toString('latin1', 8, Math.min(bytes.readUInt32BE(0), 256, bytes.length)).match(/.{4}/gs) ?? []
  return brands.some((brand) => heicBrands.includes(brand)) && !brands.includes('avif')
}

function checkMetadata({ format, depth, width, height, compression }: Metadata, maxPixels: number): void {
  if (compression === 'hevc') throw invalid(heicMessage)
  if (!formats.includes(format)) throw invalid(`it is a ${format.toUpperCase()} file; ${readable}: convert it first`)
  if (depth !== 'uchar' && depth !== 'ushort')
    throw invalid(
      `its channels are of the type ${depth}, whose black and white are not known; save it with 8 or 16 bits a channel`,
    )
  if (width * height > maxPixels)
    throw invalid(`it has ${width} x ${height} pixels, more than ${maxPixels / 1e6} million; reduce it first`)
}

/**
 * Reads a JPEG, PNG, WebP, AVIF or TIFF file. Grey, palette, 16-bit and CMYK pixels and embedded colour profiles are converted;
 * EXIF orientation is obeyed or ignored: annotations of data sets mean the pixels as they are stored. Transparent pixels are composited on white,
 * because their hidden colours are arbitrary. Damaged files are refused, harmless oddities of a header are not.
 * @throws an error whose message goes on from the file's name: "it is …", "there is no such file"
 */
export async function decodePhoto(file: string, maxPixels: number, orientation: 'obeyed' | 'ignored' = 'obeyed'): Promise<Photo> {
  const bytes = await readBytes(file)
  if (!bytes.length) throw invalid('it is empty')
  if (isHeic(bytes)) throw invalid(heicMessage)
  const image = loadSharp()(bytes, { failOn: 'error', limitInputPixels: false })
  const metadata = await image.metadata().catch((error: unknown) => {
    throw invalid(`it is not an image, or a damaged one (${firstLine(error)}); ${readable}`)
  })
  checkMetadata(metadata, maxPixels)
  const { data, info } = await (orientation === 'obeyed' ? image.autoOrient() : image)
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch((error: unknown) => {
      throw invalid(`it is damaged (${firstLine(error)})`)
    })
  return { data, width: info.width, height: info.height, pages: metadata.pages ?? 1 }
}
