import { compressRle, encodeRings, encodeRle, joinHoles, type Region, type Ring, traceRegions } from 'clip-es/photos'
import { short } from 'clip-es/support'
import { type ExportClass, type ExportPhoto, valuesIn } from './photo.js'

/** How an annotation describes its pixels, and what an annotation is. */
export interface CocoOptions {
  /** 'rle': a compressed run-length code. 'polygons': outlines along the edges of pixels, whose holes are joined to them by bridges. */
  shape: 'rle' | 'polygons'
  /** An annotation for each connected region, not for each class of a photo. */
  regions: boolean
}

/** A photo with its number in the file. */
export interface NumberedPhoto extends ExportPhoto {
  imageId: number
}

/** An entry of 'images'. */
interface ImageEntry {
  id: number
  file_name: string
  width: number
  height: number
}

interface Annotation {
  id: number
  image_id: number
  category_id: number
  segmentation: Ring[] | { size: [number, number]; counts: string }
  /** Number of pixels. */
  area: number
  /** Left, top, width, height in pixels. */
  bbox: readonly [number, number, number, number]
  iscrowd: 0
  score?: number
}

/**
 * A COCO instances file, in parts for a stream. The images come last: their sizes are known once their masks have been read, and only they
 * are kept in memory.
 *
 * - `categories`: the classes; the id is the value in the masks, from 1.
 * - `annotations`: ids count from 1, in the order of the photos and of the values. `area` and `bbox` are those of the pixels. `iscrowd` is 0. `score`
 *   is the label's probability, where it is known.
 * - Ignored pixels (255) are in no annotation.
 * @param photos in the order of the file
 * @throws ERR_INVALID_ARG for a mask with a value that has no class
 */
export async function* cocoFile(
  photos: AsyncIterable<NumberedPhoto>,
  classes: readonly ExportClass[],
  options: CocoOptions,
): AsyncGenerator<string> {
  const categories = classes.map(({ name }, i) => ({ id: i + 1, name, supercategory: '' }))
  const info = { description: 'Masks by clip-es' }
  yield `{"info":${JSON.stringify(info)},\n"licenses":[],\n"categories":${JSON.stringify(categories)},\n"annotations":[`
  const images: ImageEntry[] = []
  let count = 0
  for await (const photo of photos) {
    const { imageId, fileName, width, height } = photo
    images.push({ id: imageId, file_name: fileName, width, height })
    for (const annotation of annotationsOf(photo, classes, options))
      yield `${count ? ',' : ''}\n${JSON.stringify({ id: ++count, ...annotation })}`
  }
  yield '],\n"images":['
  for (const [i, image] of images.entries()) yield `${i ? ',' : ''}\n${JSON.stringify(image)}`
  yield ']}\n'
}

function* annotationsOf(
  photo: NumberedPhoto,
  classes: readonly ExportClass[],
  { shape, regions: each }: CocoOptions,
): Generator<Omit<Annotation, 'id'>> {
  const { imageId, width, height, scores } = photo
  const map = { data: photo.mask, width, height }
  for (const value of valuesIn(photo, classes)) {
    const all = traceRegions(map, value)
    const score = scores.get(value)
    for (const regions of each ? all.map((region) => [region]) : [all]) {
      const rings = regions.map(joinHoles)
      const rle = () => compressRle(each ? encodeRings(rings, width, height) : encodeRle(map, value))
      yield {
        image_id: imageId,
        category_id: value,
        segmentation: shape === 'polygons' ? rings : rle(),
        area: regions.reduce((sum, { area }) => sum + area, 0),
        bbox: boxAround(regions),
        iscrowd: 0,
        ...(score === undefined ? {} : { score: short(score) }),
      }
    }
  }
}

/** The smallest rectangle around all regions, of which there is at least one. */
function boxAround(regions: readonly Region[]): Annotation['bbox'] {
  let [left, top, right, bottom] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 0, 0]
  for (const { box } of regions) {
    left = Math.min(left, box[0])
    top = Math.min(top, box[1])
    right = Math.max(right, box[0] + box[2])
    bottom = Math.max(bottom, box[1] + box[3])
  }
  return [left, top, right - left, bottom - top]
}

const cocoNumber = /(?:^|[/_])(\d{12})$/

/**
 * The numbers of photos in a COCO file, in the order of their ids. Photos of COCO keep theirs, which is the twelve digits at the end of the
 * name (000000000139, COCO_val2014_000000000042). If one photo has no such number, or two have the same, all are numbered from 1.
 */
export function imageNumbers(ids: readonly string[]): number[] {
  const numbers = ids.map((id) => Number(cocoNumber.exec(id)?.[1] ?? Number.NaN))
  const areTheirs = !numbers.includes(Number.NaN) && new Set(numbers).size === ids.length
  return areTheirs ? numbers : ids.map((_, i) => i + 1)
}
