import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BoundaryCounts, boundaryWidth } from '../../cli/src/metrics/boundary.js'
import { Confusion, meanOfNumbers } from '../../cli/src/metrics/confusion.js'

const map = (text: string): Uint8Array =>
  Uint8Array.from(text.replace(/\s/g, ''), (digit) => (digit === 'x' ? 255 : Number(digit)))

test('a confusion matrix has rows for the truth, columns for the masks, and a last column for pixels that masks ignore', () => {
  const confusion = new Confusion(3)
  confusion.add(map('0011 22x0'), map('0111 2x20'))
  assert.equal(
    [...confusion.counts],
    [
      ...[2, 0, 0, 0], //
      ...[1, 2, 0, 0],
      ...[0, 0, 1, 1],
    ],
  )
  assert.is(confusion.pixels, 7)
  assert.is(confusion.pixelAccuracy, 5 / 7)
  assert.is(confusion.ignoredShare, 1 / 7)
})

test('IoU, precision and recall of each class come from it', () => {
  const confusion = new Confusion(4)
  confusion.add(map('0011 22x0'), map('0111 2x20'))
  const [background, one, two, three] = confusion.classes()
  assert.equal(background, { iou: 2 / 3, precision: 2 / 3, recall: 1, truth: 2, found: 3 })
  assert.equal(one, { iou: 2 / 3, precision: 1, recall: 2 / 3, truth: 3, found: 2 })
  assert.equal(two, { iou: 1 / 2, precision: 1, recall: 1 / 2, truth: 2, found: 1 }, 'an ignored pixel is not found')
  assert.ok(Number.isNaN(three?.iou), 'a class that is nowhere has no IoU')
  assert.is(meanOfNumbers(confusion.classes().map(({ iou }) => iou)), (2 / 3 + 2 / 3 + 1 / 2) / 3)
})

test('counts of pictures add up', () => {
  const [a, b] = [new Confusion(2), new Confusion(2)]
  a.add(map('01'), map('11'))
  b.add(map('10'), map('10'))
  a.merge(b)
  assert.equal([...a.counts], [1, 0, 0, 1, 2, 0])
})

test('maps of two sizes and values that are not classes are refused, and nothing is counted', () => {
  const confusion = new Confusion(2)
  assert.throws(() => confusion.add(map('000'), map('00')), /3 pixels.* 2/)
  assert.throws(() => confusion.add(map('01'), map('02')), /the truth has the value 2, but background and 1 classes are 0 to 1/)
  assert.throws(() => confusion.add(map('03'), map('01')), /the mask has the value 3/)
  assert.is(confusion.pixels, 0)
})

test('the band is 2 % of the diagonal wide, rounded half to even, at least one', () => {
  assert.is(boundaryWidth(500, 375, 0.02), 12, '12.5, as Python rounds it')
  assert.is(boundaryWidth(300, 400, 0.007), 4, '3.5')
  assert.is(boundaryWidth(10, 10, 0.02), 1)
})

test('a 4 x 4 square moved by one: bands of width one', () => {
  const truth = map('000000 011110 011110 011110 011110 000000')
  const mask = map('000000 001111 001111 001111 001111 000000')
  const counts = new BoundaryCounts(2)
  counts.add(mask, truth, 6, 6)
  // Each square's band is its 12 outer pixels. In both: top row 3, bottom row 3 (columns 2 to 4).
  assert.equal([counts.truth[1], counts.found[1], counts.both[1]], [12, 12, 6])
  assert.is(counts.ious()[1], 6 / 18)
})

test("the picture's edge is a boundary", () => {
  const counts = new BoundaryCounts(2)
  counts.add(map('1111 1111 1111 1111'), map('1111 1111 1111 1111'), 4, 4)
  assert.is(counts.truth[1], 12)
  assert.is(counts.ious()[1], 1)
})

test('a mask that equals the truth wherever the truth is known has boundary IoU 1', () => {
  const counts = new BoundaryCounts(3)
  counts.add(map('00000 01110 01122 01122 00022'), map('00000 0x110 01x22 01x22 000xx'), 5, 5)
  for (const iou of counts.ious()) assert.is(iou, 1)
})

/** The published definition, pixel by pixel: erosion by a square of side 2 * band + 1, nothing outside the picture. */
function naiveBand(is: (x: number, y: number) => boolean, x: number, y: number, band: number): boolean {
  if (!is(x, y)) return false
  for (let dy = -band; dy <= band; dy++) for (let dx = -band; dx <= band; dx++) if (!is(x + dx, y + dy)) return true
  return false
}

test('bands of many labels at once are those of each label alone', () => {
  let state = 1
  const random = () => {
    state = (state * 48271) % 2147483647
    return state / 2147483647
  }
  for (const [width, height, ratio] of [
    [23, 17, 0.02],
    [23, 17, 0.1],
    [40, 31, 0.08],
    [1, 9, 0.2],
    [9, 1, 0.2],
  ] as const) {
    const blobs = (): Uint8Array => {
      const out = new Uint8Array(width * height)
      for (let k = 0; k < 12; k++) {
        const [value, cx, cy, r] = [Math.floor(random() * 4), random() * width, random() * height, 1 + random() * 8]
        for (let y = 0; y < height; y++)
          for (let x = 0; x < width; x++)
            if ((x - cx) ** 2 + (y - cy) ** 2 < r * r) out[y * width + x] = value === 3 && k % 2 ? 255 : value
      }
      return out
    }
    const [truth, mask] = [blobs(), blobs()]
    const counts = new BoundaryCounts(4, ratio)
    counts.add(mask, truth, width, height)
    const band = boundaryWidth(width, height, ratio)
    const cut = mask.map((value, i) => (truth[i] === 255 ? 255 : value))
    const within = (of: Uint8Array, value: number) => (x: number, y: number) =>
      x >= 0 && y >= 0 && x < width && y < height && of[y * width + x] === value
    for (let value = 0; value < 4; value++) {
      let [both, there, found] = [0, 0, 0]
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) {
          const a = naiveBand(within(truth, value), x, y, band)
          const b = naiveBand(within(cut, value), x, y, band)
          there += Number(a)
          found += Number(b)
          both += Number(a && b)
        }
      assert.equal(
        [counts.both[value], counts.truth[value], counts.found[value]],
        [both, there, found],
        `${width}x${height} ${value}`,
      )
    }
  }
})

test.run()
