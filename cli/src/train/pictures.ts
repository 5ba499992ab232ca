import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { readPhoto } from 'clip-es/photos'
import { forEachInOrder, invalid, writeWhole } from 'clip-es/support'
import sharp, { type Metadata } from 'sharp'
import { messageOf } from '../shared/wording.js'
import type { Data, ValidationSample } from './samples.js'

const window = 4 // pictures in work at the same time

/** Where photos go that the training program cannot read. */
const photoFolder = (run: string): string => join(run, 'photos')

/**
 * Compares the size of every photo with that of its mask, and replaces the photos that the training program does not read by PNG files in RUN/photos.
 * @throws ERR_INVALID_ARG naming the first file that does not fit
 */
export async function preparePictures(data: Data, run: string, signal: AbortSignal): Promise<Data> {
  const prepare = async <S extends ValidationSample>(samples: readonly S[]): Promise<S[]> => {
    const prepared: S[] = []
    await forEachInOrder(samples, window, signal, async (sample) => {
      const photo = await preparePhoto(sample, run)
      await checkSize(sample, photo)
      prepared[samples.indexOf(sample)] = { ...sample, photo: photo.file }
    })
    return prepared
  }
  return { ...data, samples: await prepare(data.samples), validation: await prepare(data.validation) }
}

interface Prepared {
  file: string
  width: number
  height: number
}

async function preparePhoto({ name, photo }: ValidationSample, run: string): Promise<Prepared> {
  try {
    if (!existsSync(photo)) throw invalid('it is not there')
    const metadata = await sharp(photo).metadata()
    if (isRead(metadata)) return { file: photo, width: metadata.width, height: metadata.height }
    const file = join(photoFolder(run), `${name}.png`)
    if (isNewer(file, photo)) return { file, width: metadata.width, height: metadata.height }
    const { data, width, height } = await readPhoto(photo, { orientation: 'ignored' })
    mkdirSync(dirname(file), { recursive: true })
    writeWhole(
      file,
      await sharp(data, { raw: { width, height, channels: 3 } })
        .png({ compressionLevel: 3 })
        .toBuffer(),
    )
    return { file, width, height }
  } catch (error) {
    throw invalid(`train: the photo ${photo} cannot be used: ${messageOf(error)}`, { cause: error })
  }
}

/** Whether an earlier start of the run has converted the photo. */
function isNewer(file: string, photo: string): boolean {
  const converted = statSync(file, { throwIfNoEntry: false })
  return converted !== undefined && converted.mtimeMs >= statSync(photo).mtimeMs
}

/** Whether the training program reads the same pixels as `readPhoto`: 8-bit JPEG and PNG, grey or sRGB, without transparency. */
function isRead({ format, depth, space, hasAlpha, icc }: Metadata): boolean {
  const isPlain = (format === 'jpeg' || format === 'png') && depth === 'uchar' && (space === 'srgb' || space === 'b-w')
  return isPlain && !hasAlpha && (icc === undefined || icc.toString('latin1').replaceAll('\0', '').includes('sRGB'))
}

/** The training program looks at what is in the masks. */
async function checkSize({ mask }: ValidationSample, photo: Prepared): Promise<void> {
  const { width, height } = await sharp(mask)
    .metadata()
    .catch((cause: unknown) => {
      throw invalid(`train: the mask ${mask} cannot be read (${messageOf(cause)}); make it again`, { cause })
    })
  if (width !== photo.width || height !== photo.height)
    throw invalid(
      `train: the mask ${mask} is ${width} x ${height}, but its photo ${photo.file} is ${photo.width} x ${photo.height}; make the mask again from this photo`,
    )
}
