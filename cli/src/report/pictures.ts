import { existsSync } from 'node:fs'
import type { ImageData } from 'clip-es'
import { ignored } from 'clip-es'
import { type Colour, drawOverlay, hexColour, readPhoto, vividColour } from 'clip-es/photos'
import sharp from 'sharp'
import type { Evaluation, ImageFigures } from '../eval/evaluation.js'
import { readResult } from '../eval/files.js'
import { fittingTruth, type Truth } from '../eval/truth.js'

/** A photo with its truth and what was found, to be looked at side by side. */
export interface Example extends ImageFigures {
  /** data: URLs, so that the page needs no other file. The photo's is missing where its file is not known or cannot be read. */
  photo?: string
  truth: string
  found: string
  labels: { name: string; colour: string }[]
}

const widest = 480

/** A photo with two masks, drawn for a page. */
export type Drawn = Pick<Example, 'photo' | 'truth' | 'found' | 'labels'>

/**
 * @param file of the photo; without a photo that fits, the masks are drawn on grey
 * @param names by mask value
 */
export async function drawMasks(
  file: string | undefined,
  truth: Uint8Array,
  { data, width, height }: { data: Uint8Array; width: number; height: number },
  names: readonly string[],
): Promise<Drawn> {
  const photo = await fittingPhoto(file, width, height)
  const ground = photo ?? { data: new Uint8Array(width * height).fill(110), width, height }
  const values = [...new Set([...truth, ...data])].filter((value) => value !== 0 && value !== ignored).sort((a, b) => a - b)
  const labels = values.map((value, i) => ({ name: names[value] ?? String(value), value, colour: vividColour(i) }))
  const draw = async (map: Uint8Array) => await dataUrl(await drawOverlay(ground, map, labels, { legend: false }))
  return {
    ...(photo && { photo: await dataUrl(await encodeImage(photo)) }),
    truth: await draw(truth),
    found: await draw(data),
    labels: labels.map(({ name, colour }: { name: string; colour: Colour }) => ({ name, colour: hexColour(colour) })),
  }
}

/** @param photoOf where a picture's photo is */
export async function drawExample(
  evaluation: Evaluation,
  truths: Truth,
  figures: ImageFigures,
  photoOf: (id: string) => string | undefined,
): Promise<Example> {
  const { id } = figures
  const result = await readResult(evaluation.results, id, evaluation.rule)
  const truth = await fittingTruth(truths, id, result)
  const names = evaluation.labels.map(({ name }) => name)
  return { ...figures, ...(await drawMasks(photoOf(id), truth, result, names)) }
}

/** The photo's pixels, if they fit the masks. */
async function fittingPhoto(file: string | undefined, width: number, height: number): Promise<ImageData | undefined> {
  if (file === undefined || !existsSync(file)) return undefined
  const photo = await readPhoto(file, { maxPixels: Number.MAX_SAFE_INTEGER, orientation: 'ignored' }).catch(() => undefined)
  return photo?.width === width && photo.height === height ? photo : undefined
}

const encodeImage = ({ data, width, height }: ImageData): Promise<Buffer> =>
  sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer()

async function dataUrl(png: Buffer): Promise<string> {
  const small = await sharp(png).resize({ width: widest, height: widest, fit: 'inside' }).webp({ quality: 82 }).toBuffer()
  return `data:image/webp;base64,${small.toString('base64')}`
}
