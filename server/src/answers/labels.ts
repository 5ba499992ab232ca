import { ignored } from 'clip-es'
import {
  type Colour,
  type CompressedCocoRle,
  compressRle,
  encodeRle,
  hexColour,
  joinHoles,
  type LabelMap,
  parseColour,
  traceRegions,
  vocColour,
} from 'clip-es/photos'
import type { Shapes } from '../request/schema.js'
import type { ServiceResult } from '../service/service.js'

/** A label in a JSON answer. */
export interface LabelAnswer {
  name: string
  /** Of its class; a mask has it plus one. */
  index: number
  /** CLIP's probability. */
  score: number
  /** With labels 'auto': how sure CLIP is that it is there. */
  presence?: number
  pixels: number
  /** Left, top, width and height of its pixels; null if it has none. */
  box: [x: number, y: number, width: number, height: number] | null
  /** #rrggbb, as in the mask's palette. */
  color: string
  rle?: CompressedCocoRle
  /** COCO's polygons: a list of x, y, x, y, … for each region. Holes are joined to the outlines by bridges. */
  polygons?: number[][]
}

interface Extent {
  pixels: number
  box: LabelAnswer['box']
}

/** Number of pixels and box of each value of a mask, in one pass. */
export function extentsOf({ data, width, height }: LabelMap): (value: number) => Extent {
  const pixels = new Uint32Array(256)
  const left = new Uint32Array(256).fill(width)
  const right = new Uint32Array(256)
  const top = new Uint32Array(256).fill(height)
  const bottom = new Uint32Array(256)
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++, at++) {
      const value = data[at] as number
      pixels[value] = (pixels[value] as number) + 1
      if (x < (left[value] as number)) left[value] = x
      if (x > (right[value] as number)) right[value] = x
      if (y < (top[value] as number)) top[value] = y
      bottom[value] = y
    }
  return (value) => {
    const count = pixels[value] as number
    if (!count) return { pixels: 0, box: null }
    const [x, y] = [left[value] as number, top[value] as number]
    return { pixels: count, box: [x, y, (right[value] as number) - x + 1, (bottom[value] as number) - y + 1] }
  }
}

/** The colour of a value in a mask's palette. */
export function colourOf({ colours }: ServiceResult, index: number): Colour {
  const own = colours[index]
  return own === undefined ? vocColour(index + 1) : parseColour(own)
}

const rleOf = (mask: LabelMap, value: number): CompressedCocoRle => compressRle(encodeRle(mask, value))

function shapeOf(mask: LabelMap, value: number, shapes: Shapes): Pick<LabelAnswer, 'rle' | 'polygons'> {
  if (shapes === 'rle') return { rle: rleOf(mask, value) }
  if (shapes === 'polygons') return { polygons: traceRegions(mask, value).map(joinHoles) }
  return {}
}

interface Labelled {
  labels: LabelAnswer[]
  /** Pixels. */
  background: number
  ignored: number
  /** Which pixels are ignored, if some are and run-length codes were asked for. */
  ignoredRle?: CompressedCocoRle
}

/** The labels of a result, and what is background and ignored. */
export function labelsOf(result: ServiceResult, shapes: Shapes): Labelled {
  const { mask: data, width, height, names, scores, presence } = result
  const mask = { data, width, height }
  const extent = extentsOf(mask)
  const labels = result.labels.map((name, i) => {
    const index = names.indexOf(name)
    return {
      name,
      index,
      score: scores[i] as number,
      ...(presence && { presence: presence[i] as number }),
      ...extent(index + 1),
      color: hexColour(colourOf(result, index)),
      ...shapeOf(mask, index + 1, shapes),
    }
  })
  const { pixels: ignoredPixels } = extent(ignored)
  return {
    ...{ labels, background: extent(0).pixels, ignored: ignoredPixels },
    ...(shapes === 'rle' && ignoredPixels && { ignoredRle: rleOf(mask, ignored) }),
  }
}
