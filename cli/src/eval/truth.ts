import { extname, join } from 'node:path'
import { ignored } from 'clip-es'
import type { LabelMap } from 'clip-es/photos'
import { invalid, show } from 'clip-es/support'
import { plainName } from '../files/existing.js'
import { stemOf } from '../photos/names.js'
import { messageOf } from '../shared/wording.js'
import { type CocoFile, readCoco } from '../sources/coco.js'
import { eachPixel } from '../sources/coco_shapes.js'
import { LabelIndex } from '../sources/label_index.js'
import { readMap } from './files.js'

/** Ground truth by id. */
export interface Truth {
  /** Throws ERR_INVALID_ARG naming the file. */
  read(id: string): Promise<LabelMap & { file: string }>
}

/** @param path a folder of PNGs, or COCO's annotations. @param names background and the classes */
export function openTruth(path: string, names: readonly string[]): Truth {
  if (extname(path) === '.json') return new CocoTruth(path, names)
  return {
    read: async (id) => {
      const file = join(path, `${id}.png`)
      return { file, ...(await readMap(file)) }
    },
  }
}

/** Why two sizes can differ by a quarter turn. */
export const turnedNote =
  '. Width and height are swapped: one was made with the EXIF orientation of the photo and the other without. clip-es segment obeys it; clip-es dataset and the annotations of most data sets use the pixels as they are stored'

/** A truth that fits a result in size, else an error that names both. */
export async function fittingTruth(
  truth: Truth,
  id: string,
  result: { file: string; width: number; height: number },
): Promise<Uint8Array> {
  const { file, data, width, height } = await truth.read(id)
  if (width === result.width && height === result.height) return data
  const turned = width === result.height && height === result.width ? turnedNote : ''
  throw invalid(`${result.file} is ${result.width} x ${result.height}, but its truth ${file} is ${width} x ${height}${turned}`)
}

type CocoImage = CocoFile['images'][number]
type CocoObject = CocoFile['annotations'][number]

/**
 * Maps drawn from COCO's shapes, as cocoapi fills them: crowds first, as ignored, then objects, smaller ones over larger ones. Objects
 * of categories that are not classes are background. A shape that cannot be drawn is an error of its picture.
 */
class CocoTruth implements Truth {
  readonly #values: ReadonlyMap<number, number>
  readonly #images: ReadonlyMap<string, CocoImage>
  readonly #objects = new Map<number, CocoObject[]>()

  constructor(
    readonly file: string,
    names: readonly string[],
  ) {
    const { images, annotations, categories } = readCoco(file)
    const index = new LabelIndex(names.slice(1))
    this.#values = new Map(categories.map(({ id, name }) => [id, (index.find(name) ?? -1) + 1]))
    this.#images = new Map(images.map((image) => [plainName(stemOf(image.file_name)), image]))
    for (const object of annotations) {
      const of = this.#objects.get(object.image_id)
      if (of) of.push(object)
      else this.#objects.set(object.image_id, [object])
    }
  }

  async read(id: string): Promise<LabelMap & { file: string }> {
    const image = this.#images.get(plainName(id))
    if (image === undefined) throw invalid(`${this.file} has no image ${id}`)
    const { width, height } = this.#sizeOf(image)
    const data = new Uint8Array(width * height)
    for (const object of (this.#objects.get(image.id) ?? []).toSorted((a, b) => areaOf(b) - areaOf(a) || 0)) {
      const value = isCrowd(object) ? ignored : this.#values.get(object.category_id)
      if (value) this.#draw(object, value, { data, width, height })
    }
    return { file: this.file, data, width, height }
  }

  #sizeOf({ file_name, width, height }: CocoImage): { width: number; height: number } {
    const isSide = (side: unknown): side is number =>
      Number.isInteger(side) && (side as number) >= 1 && (side as number) <= 2 ** 16
    if (isSide(width) && isSide(height)) return { width, height }
    throw invalid(
      `${this.file}: the image ${file_name} has the size ${show(width)} x ${show(height)}; whole numbers are expected`,
    )
  }

  #draw({ id, segmentation }: CocoObject, value: number, { data, width, height }: LabelMap): void {
    try {
      eachPixel(segmentation, width, height, (pixel) => {
        data[pixel] = value
      })
    } catch (error) {
      const name = id === undefined ? 'an annotation without id' : `annotation ${show(id)}`
      throw invalid(`${this.file}: ${name} cannot be drawn: its segmentation ${messageOf(error)}`)
    }
  }
}

/** COCO has 0 or 1; some tools write true or "1". */
const isCrowd = ({ iscrowd }: CocoObject): boolean => Number(iscrowd) === 1

/** Crowds are drawn first, then large objects. */
const areaOf = (object: CocoObject): number => (isCrowd(object) ? Number.POSITIVE_INFINITY : Number(object.area ?? 0) || 0)
