import { joinHoles, traceRegions } from 'clip-es/photos'
import type { Result } from './result.js'

/** A photo with what was found in it, and the file's name. */
export interface Annotated {
  name: string
  result: Result
}

/** A COCO instances file of one photo: an annotation with a compressed run-length code for each label. */
export function cocoFile({ name, result: { answer } }: Annotated): unknown {
  const { width, height, labels } = answer
  const found = labels.filter(({ pixels }) => pixels > 0)
  return {
    info: { description: 'Masks by clip-es' },
    licenses: [],
    images: [{ id: 1, file_name: name, width, height }],
    categories: labels.map((label) => ({ id: label.index + 1, name: label.name, supercategory: '' })),
    annotations: found.map(({ index, rle, pixels, box, score }, i) => ({
      id: i + 1,
      image_id: 1,
      category_id: index + 1,
      segmentation: rle,
      area: pixels,
      bbox: box,
      iscrowd: 0,
      score,
    })),
  }
}

/** A labelme file: a polygon for each connected region. Regions of one label have one group_id. */
export function labelmeFile({ name, result: { answer, mask } }: Annotated): unknown {
  const shapes = answer.labels.flatMap((label) =>
    traceRegions(mask, label.index + 1).map((region) => ({
      label: label.name,
      points: pairs(joinHoles(region)),
      group_id: label.index + 1,
      description: '',
      shape_type: 'polygon',
      flags: {},
      mask: null,
      score: label.score,
    })),
  )
  const { width, height } = answer
  return { version: '5.5.0', flags: {}, shapes, imagePath: name, imageData: null, imageHeight: height, imageWidth: width }
}

const pairs = (ring: readonly number[]): [x: number, y: number][] =>
  Array.from({ length: ring.length / 2 }, (_, i) => [ring[2 * i] as number, ring[2 * i + 1] as number])
