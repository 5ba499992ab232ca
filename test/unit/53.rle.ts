import { createHash } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClipEsError } from '../../ts/core/errors.js'
import { joinHoles } from '../../ts/photos/join_holes.js'
import { traceRegions } from '../../ts/photos/polygons.js'
import { compressRle, decodeRle, decompressRle, encodeRings, encodeRle } from '../../ts/photos/rle.js'
import { mapOf, randomMap } from './masks.js'

const refused = (call: () => unknown, message: RegExp): void => {
  let error: unknown
  try {
    call()
  } catch (thrown) {
    error = thrown
  }
  assert.instance(error, ClipEsError)
  assert.is((error as ClipEsError).code, 'ERR_INVALID_ARG')
  assert.match((error as ClipEsError).message, message)
}

test('pixels are counted down the columns, beginning with those outside', () => {
  const map = mapOf('.###..', '#.#.#.', '..####')
  assert.equal(encodeRle(map, 1), { size: [3, 6], counts: [1, 1, 1, 1, 2, 4, 1, 1, 1, 2, 2, 1] })
  assert.equal(encodeRle(mapOf('##', '##'), 1), { size: [2, 2], counts: [0, 4] })
  assert.equal(encodeRle(mapOf('##', '##'), 7), { size: [2, 2], counts: [4] })
})

test('only the pixels of the value asked for are inside', () => {
  assert.equal(encodeRle(mapOf('12', '1*'), 1).counts, [0, 2, 2])
  assert.equal(encodeRle(mapOf('12', '1*'), 2).counts, [2, 1, 1])
  assert.equal(encodeRle(mapOf('12', '1*'), 255).counts, [3, 1])
})

// The texts and the digest are those of pycocotools 2.0.11.
test('the counts in a string are those of pycocotools', () => {
  const textOf = (...rows: string[]): string => compressRle(encodeRle(mapOf(...rows), 1)).counts
  assert.is(textOf('.###..', '#.#.#.', '..####'), '111013OM011O')
  assert.is(textOf('#'), '01')
  assert.is(textOf('.'), '1')
  assert.is(textOf('##', '##'), '04')
})

test('long runs and large differences are those of pycocotools', () => {
  const [width, height] = [200, 300]
  const data = Uint8Array.from({ length: width * height }, (_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)]
    const inside = y >= 17 && y < 260 && x >= 3 && x < 150
    return inside && !(y === 40 && x >= 10 && x < 100) ? 1 : 0
  })
  const { counts } = compressRle(encodeRle({ data, width, height }, 1))
  assert.is(counts.length, 842)
  assert.ok(counts.startsWith('el0c7i1000000000000TIXNT6h1lIXNT6h1'))
  assert.is(createHash('sha256').update(counts).digest('hex'), '1cb011884378b7acd2e70131f55b1a3a5f3c75470a6f47f64bd275686d5e3857')
})

test('codes are decoded to the same mask at all sizes, as numbers and as a string', () => {
  for (const [width, height] of [
    [1, 1],
    [1, 40],
    [40, 1],
    [7, 5],
    [64, 33],
    [200, 150],
  ] as const)
    for (const share of [0, 0.01, 0.5, 0.99, 1]) {
      const map = randomMap(width, height, [1 - share, share], width)
      const rle = encodeRle(map, 1)
      assert.equal(decodeRle(rle), map, `${width} x ${height}, ${share}`)
      assert.equal(decompressRle(compressRle(rle)), rle)
      assert.equal(decodeRle(compressRle(rle)), map)
    }
})

test('the largest and the smallest numbers are written and read', () => {
  for (const counts of [
    [0, 15, 16, 31, 32],
    [1, 2, 3, 511, 512, 513],
    [2 ** 30, 5, 0, 2 ** 30, 2 ** 30 - 1],
    [0, 0, 0, 2 ** 31 - 1, 0, 0],
    [5, 4, 3, 2, 1, 0],
  ])
    assert.equal(decompressRle(compressRle({ size: [1, 1], counts })).counts, counts, counts.join())
  assert.equal(compressRle({ size: [3, 7], counts: [1] }), { size: [3, 7], counts: '1' })
})

test('outlines give the same code as their pixels, with their holes, and joined', () => {
  for (const [width, height] of [
    [1, 1],
    [3, 2],
    [17, 30],
    [31, 16],
  ] as const)
    for (const share of [0, 0.2, 0.5, 0.8, 1]) {
      const map = randomMap(width, height, [1 - share, share], height)
      const regions = traceRegions(map, 1)
      const expected = encodeRle(map, 1)
      const rings = regions.flatMap(({ outer, holes }) => [outer, ...holes])
      assert.equal(encodeRings(rings, width, height), expected, `${width} x ${height}, ${share}`)
      assert.equal(encodeRings(regions.map(joinHoles), width, height), expected, `${width} x ${height}, ${share}, joined`)
    }
})

test('values that are not masks, outlines or codes are refused', () => {
  refused(
    () => encodeRle({ data: new Uint8Array(5), width: 2, height: 3 }, 1),
    /^encodeRle\(\): a mask of 5 values; 2 x 3 needs 6$/,
  )
  refused(() => encodeRle(mapOf('#'), -1), /value is -1; expected a whole number from 0 to 255/)
  refused(() => encodeRings([[0, 0, 3, 0, 3, 1, 0, 1]], 2, 1), /the corner 3, 0; expected whole numbers from 0, 0 to 2, 1/)
  refused(() => encodeRings([[0, 0, 1.5, 0, 1.5, 1, 0, 1]], 2, 1), /the corner 1.5, 0/)
  refused(
    () => encodeRings([[0, 0, 1, 1, 0, 1]], 2, 1),
    /^encodeRings\(\): the side from 0, 0 to 1, 1 does not follow the edges of pixels$/,
  )
  refused(
    () => decodeRle({ size: [2, 2], counts: [1, 2] }),
    /^decodeRle\(\): the counts have 3 pixels; a mask of the size \[2, 2\] has 4$/,
  )
  refused(() => decodeRle({ size: [2, 2], counts: [5, -1] }), /a count is -1/)
  refused(() => decodeRle({ size: [1, 1], counts: [0.5, 0.5] }), /a count is 0.5/)
  for (const value of [0, 255]) encodeRle(mapOf('#'), value)
  refused(() => encodeRle(mapOf('#'), 256), /^encodeRle\(\): value is 256; expected a whole number from 0 to 255$/)
  const corner = (x: number, y: number) => () => encodeRings([[x, y, 2, 0, 2, 1, x, 1]], 2, 1)
  for (const [x, y] of [
    [-1, 0],
    [0, -1],
    [3, 0],
    [0, 2],
    [0.5, 0],
    [0, 0.5],
  ] as const)
    refused(
      corner(x, y),
      new RegExp(`^encodeRings\\(\\): a ring has the corner ${x}, ${y}; expected whole numbers from 0, 0 to 2, 1$`),
    )
  refused(
    () => decodeRle({ size: [1, 1], counts: [-0.5] }),
    /^decodeRle\(\): a count is -0\.5; expected whole numbers of 0 or more$/,
  )
  const whole = /^decompressRle\(\): the counts '0T' are damaged at character 3; expected COCO's compressed counts$/
  refused(() => decodeRle({ size: [2, 2], counts: '0T' }), whole)
  refused(() => decompressRle({ size: [2, 2], counts: '/' }), /damaged at character 1/)
  refused(() => decompressRle({ size: [2, 2], counts: '\u0070' }), /damaged at character 1/)
  refused(() => decompressRle({ size: [2, 2], counts: `${'P'.repeat(7)}1` }), /damaged at character 8/)
  refused(() => decodeRle({ size: [2, 2], counts: '0 4' }), /damaged at character 2/)
})

test.run()
