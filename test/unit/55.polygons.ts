import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClipEsError } from '../../ts/core/errors.js'
import { joinHoles } from '../../ts/photos/join_holes.js'
import type { LabelMap } from '../../ts/photos/mask_png.js'
import { type Region, type Ring, traceRegions } from '../../ts/photos/polygons.js'
import { mapOf, randomMap } from './masks.js'

/** The pixels whose centres are inside, by the number of sides that a ray to the left crosses. */
function inside(rings: readonly Ring[], width: number, height: number): Uint8Array {
  const data = new Uint8Array(width * height)
  for (const ring of rings)
    for (let i = 0; i < ring.length; i += 2) {
      const [x0, y0] = [ring[i] as number, ring[i + 1] as number]
      const [x1, y1] = [ring[(i + 2) % ring.length] as number, ring[(i + 3) % ring.length] as number]
      for (let y = 0; y < height; y++) {
        if (y0 > y + 0.5 === y1 > y + 0.5) continue
        const crossing = x0 + ((y + 0.5 - y0) * (x1 - x0)) / (y1 - y0)
        for (let x = 0; x < width; x++) if (crossing < x + 0.5) (data[y * width + x] as number) ^= 1
      }
    }
  return data
}

/** The same by the number of windings: 1 where it is not 0. */
function wound(ring: Ring, width: number, height: number): Uint8Array {
  const windings = new Int32Array(width * height)
  for (let i = 0; i < ring.length; i += 2) {
    const [x0, y0] = [ring[i] as number, ring[i + 1] as number]
    const y1 = ring[(i + 3) % ring.length] as number
    for (let y = Math.min(y0, y1); y < Math.max(y0, y1); y++)
      for (let x = x0; x < width; x++) (windings[y * width + x] as number) += y1 > y0 ? 1 : -1
  }
  return Uint8Array.from(windings, (count) => (count ? 1 : 0))
}

/** Twice the area, positive for a ring that goes clockwise as one sees it. */
function doubleArea(ring: Ring): number {
  let sum = 0
  for (let i = 0; i < ring.length; i += 2) {
    const [x1, y1] = [ring[(i + 2) % ring.length] as number, ring[(i + 3) % ring.length] as number]
    sum += (ring[i] as number) * y1 - x1 * (ring[i + 1] as number)
  }
  return sum
}

const pixelsOf = ({ data }: LabelMap, value: number): Uint8Array => Uint8Array.from(data, (other) => (other === value ? 1 : 0))
const sum = (data: Iterable<number>): number => [...data].reduce((total, value) => total + value, 0)
const ringsOf = (regions: readonly Region[]): Ring[] => regions.flatMap(({ outer, holes }) => [outer, ...holes])

/** The regions by another way: from each pixel, whatever can be reached over sides. */
function floodedRegions({ data, width, height }: LabelMap, value: number): Uint8Array[] {
  const left = pixelsOf({ data, width, height }, value)
  const regions: Uint8Array[] = []
  for (let start = left.indexOf(1); start >= 0; start = left.indexOf(1)) {
    const region = new Uint8Array(data.length)
    const waiting = [start]
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      if (!left[at]) continue
      left[at] = 0
      region[at] = 1
      const [x, y] = [at % width, Math.floor(at / width)]
      if (x > 0) waiting.push(at - 1)
      if (x < width - 1) waiting.push(at + 1)
      if (y > 0) waiting.push(at - width)
      if (y < height - 1) waiting.push(at + width)
    }
    regions.push(region)
  }
  return regions
}

function checkRegions(map: LabelMap, value: number, what: string): void {
  const { width, height } = map
  const regions = traceRegions(map, value)
  const expected = floodedRegions(map, value)
  assert.is(regions.length, expected.length, what)
  for (const [i, region] of regions.entries()) {
    const pixels = expected[i] as Uint8Array
    const { outer, holes, area, box } = region
    assert.equal(inside([outer, ...holes], width, height), pixels, `${what}: region ${i}`)
    assert.is(area, sum(pixels))
    assert.ok(doubleArea(outer) > 0, `${what}: the outer ring goes clockwise`)
    for (const hole of holes) assert.ok(doubleArea(hole) < 0, `${what}: holes go anticlockwise`)
    for (const ring of [outer, ...holes]) checkSimple(ring, what)
    const places = [...pixels.keys()].filter((at) => pixels[at])
    const [xs, ys] = [places.map((at) => at % width), places.map((at) => Math.floor(at / width))]
    const [left, top] = [Math.min(...xs), Math.min(...ys)]
    assert.equal(box, [left, top, Math.max(...xs) + 1 - left, Math.max(...ys) + 1 - top], what)
    const joined = joinHoles(region)
    assert.equal(inside([joined], width, height), pixels, `${what}: region ${i}, joined, by crossings`)
    assert.equal(wound(joined, width, height), pixels, `${what}: region ${i}, joined, by windings`)
  }
}

/** No corner twice; sides are horizontal and vertical in turn. */
function checkSimple(ring: Ring, what: string): void {
  const corners = new Set<string>()
  for (let i = 0; i < ring.length; i += 2) {
    corners.add(`${ring[i]} ${ring[i + 1]}`)
    const horizontal = ring[i + 1] === ring[(i + 3) % ring.length]
    const before = ring[i + 1] === ring.at(i - 1)
    assert.is.not(horizontal, before, `${what}: sides turn at every corner`)
  }
  assert.is(corners.size, ring.length / 2, `${what}: no corner is there twice`)
}

test('a pixel is a square, and a whole picture a rectangle', () => {
  assert.equal(traceRegions(mapOf('...', '.#.', '...'), 1), [
    { outer: [2, 1, 2, 2, 1, 2, 1, 1], holes: [], area: 1, box: [1, 1, 1, 1] },
  ])
  assert.equal(traceRegions(mapOf('###', '###'), 1), [{ outer: [3, 0, 3, 2, 0, 2, 0, 0], holes: [], area: 6, box: [0, 0, 3, 2] }])
  assert.equal(traceRegions(mapOf('#'), 1), [{ outer: [1, 0, 1, 1, 0, 1, 0, 0], holes: [], area: 1, box: [0, 0, 1, 1] }])
})

test('a value that the mask does not have has no regions', () => {
  assert.equal(traceRegions(mapOf('##', '##'), 2), [])
  assert.equal(traceRegions({ data: new Uint8Array(0), width: 0, height: 0 }, 0), [])
})

test('pixels that touch at a corner are two regions', () => {
  const regions = traceRegions(mapOf('#.', '.#'), 1)
  assert.equal(
    regions.map(({ area, holes }) => [area, holes.length]),
    [
      [1, 0],
      [1, 0],
    ],
  )
})

test('a hole is separate from its outer ring, and two that touch at a corner are two holes', () => {
  const [region, ...others] = traceRegions(mapOf('####', '#.##', '##.#', '####'), 1)
  assert.is(others.length, 0)
  assert.equal(region?.outer, [4, 0, 4, 4, 0, 4, 0, 0])
  assert.equal(region?.holes, [
    [2, 2, 2, 1, 1, 1, 1, 2],
    [3, 3, 3, 2, 2, 2, 2, 3],
  ])
})

test('a ring that closes at a corner has its hole apart from its outer ring', () => {
  const [region] = traceRegions(mapOf('###', '#.#', '##.'), 1)
  assert.equal(region?.holes, [[2, 2, 2, 1, 1, 1, 1, 2]])
  assert.is(region?.outer.length, 12)
})

test('a region in the hole of another one is a region of its own', () => {
  const map = mapOf('#####', '#...#', '#.#.#', '#...#', '#####')
  const regions = traceRegions(map, 1)
  assert.equal(
    regions.map(({ area, holes }) => [area, holes.length]),
    [
      [16, 1],
      [1, 0],
    ],
  )
  assert.equal(inside(ringsOf(regions), 5, 5), pixelsOf(map, 1))
})

test('touching classes share the sides of their outlines', () => {
  const map = mapOf('1122', '1122')
  assert.equal(traceRegions(map, 1)[0]?.outer, [2, 0, 2, 2, 0, 2, 0, 0])
  assert.equal(traceRegions(map, 2)[0]?.outer, [4, 0, 4, 2, 2, 2, 2, 0])
})

test('outlines of random masks contain the pixels that they were made from, at all sizes and densities', () => {
  for (const [width, height] of [
    [1, 1],
    [1, 9],
    [9, 1],
    [2, 2],
    [5, 4],
    [8, 13],
    [31, 17],
    [40, 40],
  ] as const)
    for (const share of [0.1, 0.5, 0.6, 0.7, 0.9])
      for (let seed = 0; seed < 2; seed++) {
        const map = randomMap(width, height, [1 - share, share], seed)
        for (const value of [0, 1]) checkRegions(map, value, `${width} x ${height}, ${share}, seed ${seed}, value ${value}`)
      }
})

test('every mask of 3 x 3 and of 4 x 3 pixels is traced', () => {
  for (const [width, height] of [
    [3, 3],
    [4, 3],
  ] as const)
    for (let bits = 0; bits < 2 ** (width * height); bits++) {
      const data = Uint8Array.from({ length: width * height }, (_, i) => (bits >> i) & 1)
      checkRegions({ data, width, height }, 1, `${width} x ${height}, mask ${bits}`)
    }
})

test('many holes are joined', () => {
  const [width, height] = [801, 801]
  const data = Uint8Array.from({ length: width * height }, (_, i) => ((i % width) % 2 && Math.floor(i / width) % 2 ? 0 : 1))
  const [region] = traceRegions({ data, width, height }, 1)
  assert.is(region?.holes.length, 400 * 400)
  const ring = joinHoles(region as Region)
  assert.is(doubleArea(ring) / 2, sum(data))
})

test('a mask of the wrong length and a value that no byte holds are refused', () => {
  const refused = (call: () => unknown, message: RegExp) =>
    assert.throws(
      call,
      (error: unknown) => error instanceof ClipEsError && error.code === 'ERR_INVALID_ARG' && message.test(error.message),
    )
  refused(
    () => traceRegions({ data: new Uint8Array(5), width: 2, height: 3 }, 1),
    /^traceRegions\(\): a mask of 5 values; 2 x 3 needs 6$/,
  )
  for (const value of [-1, 256])
    refused(
      () => traceRegions(mapOf('#'), value),
      new RegExp(`^traceRegions\\(\\): value is ${value}; expected a whole number from 0 to 255$`),
    )
  for (const value of [0, 255]) traceRegions(mapOf('#'), value)
})

test.run()
