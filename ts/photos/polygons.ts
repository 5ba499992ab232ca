import { checkInteger } from '../core/check.js'
import { invalid } from '../core/errors.js'
import type { LabelMap } from './mask_png.js'

// Outlines follow the edges between pixels: the pixel in column x and row y is the square from x, y to x + 1, y + 1. They are
// therefore exact: the pixels whose centres are inside are those of the region.

/**
 * A closed outline: x and y of each corner, one after the other (x0, y0, x1, y1, …), in pixels from the top left corner of the picture. The
 * last corner is joined to the first. Sides are horizontal and vertical in turn, and no corner is there twice.
 */
export type Ring = number[]

/** A connected region of a mask. */
export interface Region {
  /** Around the region, clockwise as one sees the picture. */
  outer: Ring
  /** Around each hole, anticlockwise. A hole can touch another one, or the outer ring, at a corner. */
  holes: Ring[]
  /** Number of pixels. */
  area: number
  /** The smallest rectangle around the region, in pixels: left, top, width, height. */
  box: [x: number, y: number, width: number, height: number]
}

/**
 * The connected regions of one value in a mask, with their outlines. Pixels are connected over their sides: two pixels that touch at a
 * corner only are two regions.
 * @param mask values row by row, width * height of them
 * @param value 0 to 255; a class has its index plus one
 * @returns the regions in the order of their first pixels, row by row; none where the mask does not have the value
 * @throws ERR_INVALID_ARG when the mask does not have width * height values, or for a value that a byte cannot hold
 */
export function traceRegions(mask: LabelMap, value: number): Region[] {
  const { data, width, height } = mask
  checkInteger('traceRegions()', 'value', value, 0, 255)
  if (data.length !== width * height)
    throw invalid(`traceRegions(): a mask of ${data.length} values; ${width} x ${height} needs ${width * height}`)
  const regionOf = connect(mask, value)
  const regions = new Map<number, Region>()
  const walked = new Uint8Array(data.length) // pixels whose upper side is part of an outline that is done
  for (let at = 0; at < data.length; at++) {
    const first = regionOf[at] as number
    if (first < 0) continue
    const hasUpperSide = at < width || regionOf[at - width] !== first
    if (hasUpperSide && !walked[at]) {
      const ring = walk(regionOf, width, height, at, walked)
      const region = regions.get(first)
      // The first pixel of a region has nothing of it above: its upper side is part of the outer ring.
      if (region) region.holes.push(ring)
      else regions.set(first, { outer: ring, holes: [], area: 0, box: boxOf(ring) })
    }
    ;(regions.get(first) as Region).area++
  }
  return [...regions.values()]
}

/** For each pixel of the value the first pixel of its region, and -1 for the others. */
function connect({ data, width }: LabelMap, value: number): Int32Array {
  const parents = new Int32Array(data.length).fill(-1)
  const rootOf = (at: number): number => {
    let root = at
    while (parents[root] !== root) {
      parents[root] = parents[parents[root] as number] as number
      root = parents[root] as number
    }
    return root
  }
  for (let at = 0; at < data.length; at++) {
    if (data[at] !== value) continue
    parents[at] = at
    for (const [isInside, near] of [
      [at % width !== 0, at - 1],
      [at >= width, at - width],
    ] as const) {
      if (!isInside || data[near] !== value) continue
      const [a, b] = [rootOf(at), rootOf(near)]
      parents[Math.max(a, b)] = Math.min(a, b)
    }
  }
  // A parent comes before its children, so it knows its root already.
  for (let at = 0; at < data.length; at++) if (parents[at] !== -1) parents[at] = parents[parents[at] as number] as number
  return parents
}

// By direction: right, down, left, up. A region lies to the right of whoever walks along its outline.
const step = { x: [1, 0, -1, 0], y: [0, 1, 0, -1] }
// The pixels ahead, as offsets from the corner that was reached.
const aheadLeft = { x: [0, 0, -1, -1], y: [-1, 0, 0, -1] }
const aheadRight = { x: [0, -1, -1, 0], y: [0, 0, -1, -1] }

/**
 * Walks along the outline that has the upper side of a pixel. Where two pixels of the region touch at a corner, it goes to the left, around
 * what is not of the region. These pixels are connected elsewhere, so the other two belong to different outlines, and none has a corner twice.
 */
function walk(regionOf: Int32Array, width: number, height: number, start: number, walked: Uint8Array): Ring {
  const region = regionOf[start]
  const [startX, startY] = [start % width, Math.floor(start / width)]
  let [x, y, direction] = [startX, startY, 0]
  const isInside = (ahead: typeof aheadLeft): boolean => {
    const [column, row] = [x + (ahead.x[direction] as number), y + (ahead.y[direction] as number)]
    return column >= 0 && column < width && row >= 0 && row < height && regionOf[row * width + column] === region
  }
  const ring: Ring = []
  do {
    if (direction === 0) walked[y * width + x] = 1
    x += step.x[direction] as number
    y += step.y[direction] as number
    const turn = isInside(aheadLeft) ? 3 : isInside(aheadRight) ? 0 : 1 // quarters, clockwise
    if (turn) ring.push(x, y)
    direction = (direction + turn) % 4
  } while (x !== startX || y !== startY || direction !== 0)
  return ring
}

function boxOf(ring: Ring): Region['box'] {
  let [left, top, right, bottom] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 0, 0]
  for (let i = 0; i < ring.length; i += 2) {
    const [x, y] = [ring[i] as number, ring[i + 1] as number]
    left = Math.min(left, x)
    right = Math.max(right, x)
    top = Math.min(top, y)
    bottom = Math.max(bottom, y)
  }
  return [left, top, right - left, bottom - top]
}
