import type { Metadata } from 'sharp'
import { checkNumber, checkOneOf, checkOptions, checkSignal } from '../core/check.js'
import { defaults } from '../core/defaults.js'
import { invalid } from '../core/errors.js'
import type { ImageData } from '../core/types.js'
import { loadSharp } from './sharp.js'
import { type FileSource, readSource } from './source.js'

/** The pixels of an image file: RGB in sRGB, 8 bits a channel. */
export interface Photo extends ImageData {
  /** width * height * 3 bytes, row by row. */
  data: Buffer
  /** How many pages or frames the file has. This is the first one. */
  pages: number
}

/** Whether the EXIF orientation is applied. */
export type Orientation = 'obeyed' | 'ignored'

export interface ReadPhotoOptions {
  /** Files with more pixels are refused before they are decoded. Default `defaults.maxPixels`, 100e6. */
  maxPixels?: number
  /** EXIF orientation: 'obeyed' turns the photo as viewers show it; 'ignored' keeps the pixels as they are stored, which annotations of data sets mean. Default 'obeyed'. */
  orientation?: Orientation
  /** An abort takes effect when the current step, reading or decoding, has ended. */
  signal?: AbortSignal
}

const call = 'readPhoto()'
const orientations: readonly Orientation[] = ['obeyed', 'ignored']

/** What is read, by sharp's names: the names for people, and the extensions of the files. */
const formats: Readonly<Record<string, readonly [name: string, ...extensions: string[]]>> = {
  jpeg: ['JPEG', '.jpg', '.jpeg'],
  png: ['PNG', '.png'],
  webp: ['WebP', '.webp'],
  heif: ['AVIF', '.avif'],
  tiff: ['TIFF', '.tif', '.tiff'],
}

/** The extensions of the files that `readPhoto` reads, in lower case with a dot. */
export const photoExtensions: readonly string[] = Object.values(formats).flatMap(([, ...extensions]) => extensions)

const heicMessage = 'it is a HEIC file (HEIF with HEVC), which is not read; convert it to JPEG first'
const names = Object.values(formats).map(([name]) => name)
const readable = `${names.slice(0, -1).join(', ')} and ${names.at(-1)} files are read`

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
  if (!Object.hasOwn(formats, format)) throw invalid(`it is a ${format.toUpperCase()} file; ${readable}: convert it first`)
  if (depth !== 'uchar' && depth !== 'ushort')
    throw invalid(
      `its channels are of the type ${depth}, whose black and white are not known; save it with 8 or 16 bits a channel`,
    )
  if (width * height > maxPixels)
    throw invalid(`it has ${width} x ${height} pixels, more than ${maxPixels / 1e6} million; reduce it first`)
}

/**
 * Reads a JPEG, PNG, WebP, AVIF or TIFF file as RGB pixels. Grey, palette, 16-bit and CMYK pixels and embedded colour profiles are converted
 * to sRGB. Transparent pixels are composited on white, because their hidden colours are arbitrary. Damaged files are refused, harmless
 * oddities of a header are not.
 * @param source path, file URL, or the bytes of a file
 * @returns width * height * 3 bytes, row by row
 * @throws ERR_INVALID_ARG for a file that cannot be read or has too many pixels; the message begins with its path, or with "the image" for
 * bytes. ERR_IO if sharp is not installed. The signal's reason.
 */
export async function readPhoto(source: FileSource, options?: ReadPhotoOptions): Promise<Photo> {
  const given = checkOptions<ReadPhotoOptions>(call, options, ['maxPixels', 'orientation', 'signal'])
  const maxPixels = checkNumber(call, 'maxPixels', given.maxPixels ?? defaults.maxPixels, 1, Number.MAX_SAFE_INTEGER)
  const orientation = checkOneOf(call, 'orientation', given.orientation ?? 'obeyed', orientations)
  const signal = checkSignal(call, given.signal)
  return await readSource(call, source, signal, async (bytes) => {
    const photo = await decode(bytes, maxPixels, orientation)
    signal?.throwIfAborted()
    return photo
  })
}

async function decode(bytes: Buffer, maxPixels: number, orientation: Orientation): Promise<Photo> {
  if (isHeic(bytes)) throw invalid(heicMessage)
  const image = loadSharp()(bytes, { failOn: 'error', limitInputPixels: false }) // checkMetadata() limits them
  const metadata = await image.metadata().catch((cause: unknown) => {
    throw invalid(`it is not an image, or a damaged one (${firstLine(cause)}); ${readable}`, { cause })
  })
  checkMetadata(metadata, maxPixels)
  const { data, info } = await (orientation === 'obeyed' ? image.autoOrient() : image)
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch((cause: unknown) => {
      throw invalid(`it is damaged (${firstLine(cause)})`, { cause })
    })
  return { data, width: info.width, height: info.height, pages: metadata.pages ?? 1 }
}
