// Unusual sizes of photos and class sets, and the limits maxPixels and maxSide.
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClassSet, ImageData, Segmenter, SegmentOptions } from '../../ts/index.js'
import { everything, smallScene } from './small_scene.js'
import { agreement, crop, load, rejects, type Scene, withoutTimings } from './support.js'

let segmenter: Segmenter
let photo: Scene
let classes: ClassSet
let small: ImageData

test.before(async () => {
  ;({ segmenter, photo, classes, small } = await smallScene())
})
test.after(() => segmenter.close())

const segment = (options?: SegmentOptions, image: ImageData = small) => segmenter.segment(image, classes, options)

test('photos of one pixel, one row, one column and odd sizes give masks of their size and finite maps', async () => {
  for (const [width, height] of [
    [1, 1],
    [1, 40],
    [40, 1],
    [300, 1],
    [1, 240],
    [15, 17],
    [33, 7],
  ] as const) {
    const result = await segment(everything, crop(photo, width, height))
    const pixels = width * height
    assert.is(result.mask.length, pixels)
    assert.is(result.cams?.length, 4 * pixels)
    assert.ok(
      result.cams?.every((value) => value >= 0 && value <= 1),
      `${width} x ${height}`,
    )
    assert.ok(
      result.confidence?.every((value) => value >= 0.5 && value <= 1),
      `${width} x ${height}`,
    )
    assert.ok(result.scores.every((value) => value > 0 && value < 1))
  }
})

test('a photo of one colour gives finite maps', async () => {
  for (const level of [0, 128, 255]) {
    const { cams, confidence } = await segment(everything, { ...small, data: new Uint8Array(small.data.length).fill(level) })
    assert.ok(cams?.every((value) => value >= 0 && value <= 1) && confidence?.every((value) => value >= 0 && value <= 1))
  }
})

test('254 classes give 254 maps, and the mask can hold the number of the last class', async () => {
  const many = await segmenter.encodeClasses(Array.from({ length: 254 }, (_, i) => `thing ${i}`))
  const { cams, scores, mask } = await segmenter.segment(small, many, { ...everything, backgroundPower: 1000 })
  assert.is(cams?.length, 254 * 80 * 56)
  assert.is(scores.length, 254)
  assert.ok(cams?.every((value) => value >= 0 && value <= 1))
  assert.ok(mask.every((value) => value < 255) && new Set(mask).size > 1)
  const last = await segmenter.segment(small, many, { labels: [253] })
  assert.equal([...new Set(last.mask)].sort(), [0, 254])
})

test('maxPixels limits the number of pixels of a photo', async () => {
  const strict = await load(undefined, { maxPixels: 80 * 56 })
  const own = await strict.encodeClasses(['panda'])
  assert.is((await strict.segment(small, own)).mask.length, 80 * 56)
  const message = ['image of 80 x 57 pixels: their number is 4560; expected a number from 1 to 4480']
  await rejects(strict.segment(crop(photo, 80, 57), own), 'ERR_INVALID_ARG', ...message)
  await rejects(strict.encode(crop(photo, 80, 57)), 'ERR_INVALID_ARG', 'encode(): ', ...message)
  await strict.close()
})

test('maxSide limits the side that enters the network, and masks keep the size of the photo', async () => {
  const withSide = async (maxSide: number, image: ImageData = photo) => {
    const own = await load(undefined, { maxSide })
    const set = await own.encodeClasses(photo.labels, { background: photo.background })
    const result = await own.segment(image, set, everything)
    await own.close()
    return withoutTimings(result)
  }
  const whole = await withSide(Number.POSITIVE_INFINITY)
  assert.equal(await withSide(320), whole)
  assert.not.equal((await withSide(319)).scores, whole.scores)
  const half = await withSide(160)
  assert.equal([half.width, half.height, half.mask.length, half.cams?.length], [320, 240, 320 * 240, 3 * 320 * 240])
  assert.ok(agreement(half.mask, whole.mask) < 0.9)
  // sharp halves the photo; the mask of that is enlarged to compare.
  const raw = { width: 320, height: 240, channels: 3 } as const
  const data = await sharp(Buffer.from(photo.data), { raw }).resize(160, 120, { kernel: 'cubic' }).raw().toBuffer()
  const reduced = await withSide(Number.POSITIVE_INFINITY, { data, width: 160, height: 120 })
  for (const [k, score] of reduced.scores.entries()) assert.ok(Math.abs((half.scores[k] as number) / score - 1) < 0.03)
  const doubled = half.mask.map((_, i) => reduced.mask[Math.floor(i / 640) * 160 + Math.floor((i % 320) / 2)] as number)
  assert.ok(agreement(half.mask, doubled) > 0.97, `${agreement(half.mask, doubled)} agree`)
})

test('maxSide 1 leaves one patch, and the mask still has the size of the photo', async () => {
  const own = await load(undefined, { maxSide: 1 })
  const { mask, cams } = await own.segment(photo, await own.encodeClasses(photo.labels), everything)
  assert.is(mask.length, 320 * 240)
  assert.ok(cams?.every((value) => value >= 0 && value <= 1))
  await own.close()
})

test.run()
