import { extname, join } from 'node:path'
import { type CocoFile, readCoco } from '../dataset/coco.js'
import { eachPixel } from '../dataset/coco_shapes.js'
import { LabelIndex } from '../dataset/label_index.js'
import { invalid } from '../errors.js'
import { ignored } from '../metrics.js'
import { stemOf } from '../photos/names.js'
import type { LabelMap } from '../render/png.js'
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

/** A truth that fits a result in size, else an error that names both. */
export async function fittingTruth(
  truth: Truth,
  id: string,
  result: { file: string; width: number; height: number },
): Promise<Uint8Array> {
  const { file, data, width, height } = await truth.read(id)
  if (width === result.width && height === result.height) return data
  throw invalid(`${result.file} is ${result.width} x ${result.height}, but its truth ${file} is ${width} x ${height}`)
}

/**
 * Maps drawn from COCO's shapes, as cocoapi fills them: crowds first, as ignored, then objects, smaller ones over larger ones. Objects
 * of categories that are no class are background.
 */
class CocoTruth implements Truth {
  readonly #values: ReadonlyMap<number, number>
  readonly #images: ReadonlyMap<string, CocoFile['images'][number]>
  readonly #objects = new Map<number, CocoFile['annotations']>()

  constructor(
    readonly file: string,
    names: readonly string[],
  ) {
    const { images, annotations, categories } = readCoco(file)
    const index = new LabelIndex(names.slice(1))
    this.#values = new Map(categories.map(({ id, name }) => [id, (index.find(name) ?? -1) + 1]))
    this.#images = new Map(images.map((image) => [stemOf(image.file_name), image]))
    for (const object of annotations) {
      const of = this.#objects.get(object.image_id)
      if (of) of.push(object)
      else this.#objects.set(object.image_id, [object])
    }
  }

  async read(id: string): Promise<LabelMap & { file: string }> {
    const image = this.#images.get(id)
    if (image === undefined) throw invalid(`${this.file} has no image ${id}`)
    const { width, height } = image
    const data = new Uint8Array(width * height)
    const rank = ({ iscrowd, area = 0 }: CocoFile['annotations'][number]) => (iscrowd ? Number.POSITIVE_INFINITY : area)
    for (const object of (this.#objects.get(image.id) ?? []).toSorted((a, b) => rank(b) - rank(a) || 0)) {
      const value = object.iscrowd ? ignored : this.#values.get(object.category_id)
      if (value && object.segmentation)
        eachPixel(object.segmentation, width, height, (pixel) => {
          data[pixel] = value
        })
    }
    return { file: this.file, data, width, height }
  }
}
