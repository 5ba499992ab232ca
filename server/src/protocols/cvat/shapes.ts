import { decodeRle, encodeRings, joinHoles, type LabelMap, type Region, traceRegions } from 'clip-es/photos'

/** What CVAT takes from a detector, one for each shape. */
export interface CvatShape {
  /** A number as a text, as CVAT's own functions write it. */
  confidence: string
  label: string
  type: 'mask' | 'polygon'
  /** x, y, x, y, … of the outline, in pixels. Of a mask, CVAT uses it to convert the mask to a polygon. */
  points?: number[]
  /** The pixels within a box, row by row, then the box: its left, top, right and bottom pixel. */
  mask?: number[]
  /** Polygons of one label are a group. */
  group_id?: number
}

export interface ShapeOptions {
  type: CvatShape['type']
  /** A mask for each connected region, not for each label. Polygons always have one region each. */
  regions: boolean
}

/** A mask's values that are not 0, as CVAT writes masks. At least one is not. */
export function cvatMask({ data, width, height }: LabelMap): number[] {
  let [left, top, right, bottom] = [width, height, 0, 0]
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++, at++)
      if (data[at]) {
        left = Math.min(left, x)
        right = Math.max(right, x)
        top = Math.min(top, y)
        bottom = y
      }
  const flat: number[] = []
  for (let y = top; y <= bottom; y++) for (let x = left; x <= right; x++) flat.push(data[y * width + x] ? 1 : 0)
  flat.push(left, top, right, bottom)
  return flat
}

/** The shapes of a label: none if it has no pixels. */
export function cvatShapes(
  mask: LabelMap,
  value: number,
  about: Pick<CvatShape, 'label' | 'confidence'>,
  { type, regions: each }: ShapeOptions,
): CvatShape[] {
  const { data, width, height } = mask
  const regions = traceRegions(mask, value)
  if (!regions.length) return []
  if (type === 'polygon') return regions.map((region) => ({ ...about, type, points: joinHoles(region), group_id: value }))
  const shape = (inside: LabelMap, region?: Region): CvatShape => ({
    ...{ ...about, type, mask: cvatMask(inside) },
    ...(region && { points: joinHoles(region) }),
  })
  // Several regions have no single outline. Without `points`, CVAT keeps the mask.
  if (!each || regions.length === 1)
    return [
      shape(
        { data: data.map((other) => (other === value ? 1 : 0)), width, height },
        regions.length === 1 ? regions[0] : undefined,
      ),
    ]
  return regions.map((region) => shape(decodeRle(encodeRings([region.outer, ...region.holes], width, height)), region))
}
