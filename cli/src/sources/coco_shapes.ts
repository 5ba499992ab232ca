import { decompressRle } from 'clip-es/photos'
import { invalid, show } from 'clip-es/support'

/** A shape of COCO's annotations: polygons (x, y, x, y, … each), or a run-length code, whose counts may be packed into a text. */
export type CocoShape = readonly (readonly number[])[] | { size: readonly [number, number]; counts: readonly number[] | string }

/**
 * Calls `paint` with the place of every pixel of a shape, row by row numbered, some perhaps twice.
 * @param shape what an annotation has as its segmentation
 * @throws ERR_INVALID_ARG, before it paints anything, for what is not a shape of a picture of this size. The message goes on from "its segmentation".
 */
export function eachPixel(shape: unknown, width: number, height: number, paint: (pixel: number) => void): void {
  if (Array.isArray(shape)) {
    checkPolygons(shape)
    for (const polygon of shape) eachOfPolygon(polygon, width, height, paint)
    return
  }
  if (typeof shape !== 'object' || shape === null) throw invalid(shape === undefined ? 'is missing' : `is ${show(shape)}`)
  let at = 0
  for (const [i, count] of checkedCounts(shape as Record<string, unknown>, width, height).entries()) {
    if (i % 2) paintRun(at, at + count, width, height, paint)
    at += count
  }
}

const farthest = 1e5 // pixels: an outline is walked point by point

/** Every polygon has three corners or more, which are pairs of numbers. */
function checkPolygons(polygons: readonly unknown[]): asserts polygons is readonly (readonly number[])[] {
  if (!polygons.length) throw invalid('is an empty list')
  for (const polygon of polygons) {
    if (!Array.isArray(polygon)) throw invalid(`holds ${show(polygon)} where a polygon [x, y, x, y, …] is expected`)
    if (polygon.length < 6 || polygon.length % 2)
      throw invalid(`holds a polygon of ${polygon.length} numbers; x and y of three corners or more are expected`)
    const odd = polygon.find((value) => !(typeof value === 'number' && Math.abs(value) <= farthest))
    if (odd !== undefined || polygon.includes(undefined))
      throw invalid(`holds ${show(odd)} in a polygon; numbers of up to ${farthest} are expected`)
  }
}

/** The counts of a run-length code that covers the whole picture. */
function checkedCounts(shape: Record<string, unknown>, width: number, height: number): readonly number[] {
  if (!('counts' in shape)) throw invalid("has no 'counts', and is not a list of polygons")
  const { size, counts: packed } = shape
  const [h, w] = Array.isArray(size) ? size : []
  if (h !== height || w !== width)
    throw invalid(`is a run-length code of ${show(size)} (height, width); its picture has the size [${height}, ${width}]`)
  const counts = typeof packed === 'string' ? unpack(packed, height, width) : packed
  if (!Array.isArray(counts)) throw invalid(`has the counts ${show(packed)}; a list of numbers or a packed text is expected`)
  const odd = counts.find((count) => !(Number.isInteger(count) && count >= 0))
  if (odd !== undefined) throw invalid(`holds the count ${show(odd)}; whole numbers of 0 or more are expected`)
  const sum = counts.reduce((total, count) => total + count, 0)
  if (sum !== width * height) throw invalid(`has counts of ${sum} pixels; its picture has ${width * height}`)
  return counts
}

/** COCO counts pixels down the columns. */
function paintRun(from: number, to: number, width: number, height: number, paint: (pixel: number) => void): void {
  for (let at = from; at < Math.min(to, width * height); at++) paint((at % height) * width + Math.floor(at / height))
}

function unpack(counts: string, height: number, width: number): number[] {
  try {
    return decompressRle({ size: [height, width], counts }).counts
  } catch {
    throw invalid(`has the counts ${show(counts)}, which are not compressed counts of COCO`)
  }
}

const scale = 5 // of cocoapi's rleFrPoly

/** A C cast to int after adding a half. */
const rounded = (value: number): number => Math.trunc(value + 0.5)

/**
 * A polygon as cocoapi's rleFrPoly fills it, pixel for pixel: its outline is walked in a five times finer grid, and where it enters
 * another column, the column's pixels change from outside to inside or back.
 */
function eachOfPolygon(polygon: readonly number[], width: number, height: number, paint: (pixel: number) => void): void {
  const outline = walk(polygon)
  const changes: number[] = []
  for (let j = 1; j < outline.length; j++) {
    const [[u0, v0], [u, v]] = [outline[j - 1] as Point, outline[j] as Point]
    if (u === u0) continue
    const x = ((u < u0 ? u : u - 1) + 0.5) / scale - 0.5
    if (!Number.isInteger(x) || x < 0 || x > width - 1) continue
    const y = (Math.min(v, v0) + 0.5) / scale - 0.5
    changes.push(x * height + Math.ceil(Math.min(Math.max(y, 0), height)))
  }
  changes.sort((a, b) => a - b)
  for (let i = 0; i < changes.length; i += 2)
    paintRun(changes[i] as number, changes[i + 1] ?? width * height, width, height, paint)
}

type Point = readonly [number, number]

/** The points of a closed outline in the finer grid, edge after edge. */
function walk(polygon: readonly number[]): Point[] {
  const corners: Point[] = []
  for (let i = 0; i + 1 < polygon.length; i += 2)
    corners.push([rounded(scale * (polygon[i] as number)), rounded(scale * (polygon[i + 1] as number))])
  return corners.flatMap((start, i) => edge(start, corners[(i + 1) % corners.length] as Point))
}

/** Points from start to end, one a step of the longer side; computed from the lower end, so that both directions meet the same. */
function edge([x0, y0]: Point, [x1, y1]: Point): Point[] {
  const [dx, dy] = [Math.abs(x1 - x0), Math.abs(y1 - y0)]
  const flip = (dx >= dy && x0 > x1) || (dx < dy && y0 > y1)
  const [xs, ys, xe, ye] = flip ? [x1, y1, x0, y0] : [x0, y0, x1, y1]
  const slope = dx >= dy ? (ye - ys) / (dx || 1) : (xe - xs) / dy
  const points = Array.from(
    { length: Math.max(dx, dy) + 1 },
    (_, t): Point => (dx >= dy ? [xs + t, rounded(ys + slope * t)] : [rounded(xs + slope * t), ys + t]),
  )
  return flip ? points.reverse() : points
}
