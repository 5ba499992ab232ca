import { decodeRle, encodeMask, encodeRings, joinHoles, type Region, traceRegions } from 'clip-es/photos'
import { short } from 'clip-es/support'
import { type ExportClass, type ExportPhoto, valuesIn } from './photo.js'

/** What a region becomes, and which regions belong together. */
export interface LabelmeOptions {
  /** 'polygons': its outline, whose holes are joined to it by bridges. 'masks': its pixels, exactly, as a PNG. */
  shape: 'polygons' | 'masks'
  /** True: each connected region is one object. False: the regions of a class are one object, because they have the same `group_id`. */
  regions: boolean
}

/** As labelme writes it. Unknown keys, such as `score`, are kept by labelme. */
interface Shape {
  label: string
  points: [x: number, y: number][]
  group_id: number | null
  description: string
  shape_type: 'polygon' | 'mask'
  flags: Record<string, never>
  /** A PNG in base64. */
  mask: string | null
  score?: number
}

const formatVersion = '5.5.0' // of labelme: the first that has masks is 5.3

/**
 * The file of labelme about a photo, with a shape for each connected region. The photo itself is not in it.
 *
 * Points of polygons are corners of pixels. labelme's own tools paint polygons with their outlines, and so half a pixel wider all around. With masks
 * they get the exact pixels.
 * @param imagePath '/'-separated path of the photo from the folder of the file
 * @throws ERR_INVALID_ARG for a mask with a value that has no class
 */
export async function labelmeFile(
  photo: ExportPhoto,
  classes: readonly ExportClass[],
  imagePath: string,
  options: LabelmeOptions,
): Promise<string> {
  const { mask: data, width, height, scores } = photo
  const shapes: Shape[] = []
  for (const value of valuesIn(photo, classes)) {
    const score = scores.get(value)
    for (const region of traceRegions({ data, width, height }, value))
      shapes.push({
        label: (classes[value - 1] as ExportClass).name,
        ...(options.shape === 'masks' ? await asMask(region) : asPolygon(region)),
        group_id: options.regions ? null : value,
        description: '',
        flags: {},
        ...(score === undefined ? {} : { score: short(score) }),
      })
  }
  const file = {
    version: formatVersion,
    flags: {},
    shapes,
    imagePath,
    imageData: null,
    imageHeight: height,
    imageWidth: width,
  }
  return `${JSON.stringify(file)}\n`
}

type Outline = Pick<Shape, 'points' | 'shape_type' | 'mask'>

function asPolygon(region: Region): Outline {
  const ring = joinHoles(region)
  const points = Array.from({ length: ring.length / 2 }, (_, i): [number, number] => [
    ring[2 * i] as number,
    ring[2 * i + 1] as number,
  ])
  return { points, shape_type: 'polygon', mask: null }
}

/** The pixels in the region's rectangle, 1 inside. Its points are the first and the last pixel of the rectangle. */
async function asMask({ outer, holes, box: [left, top, width, height] }: Region): Promise<Outline> {
  const rings = [outer, ...holes].map((ring) => ring.map((at, i) => at - (i % 2 ? top : left)))
  const { data } = decodeRle(encodeRings(rings, width, height))
  return {
    points: [
      [left, top],
      [left + width - 1, top + height - 1],
    ],
    shape_type: 'mask',
    mask: (await encodeMask(data, { width, height, palette: 'grey' })).toString('base64'),
  }
}
