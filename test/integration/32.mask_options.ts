// How the options of a mask change the mask, the confidence and the maps.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClassSet, ImageData, Segmenter, SegmentOptions, SegmentResult } from '../../ts/index.js'
import { everything, smallScene } from './small_scene.js'
import { agreement, largestDifference } from './support.js'

let segmenter: Segmenter
let classes: ClassSet
let small: ImageData
let first: SegmentResult

test.before(async () => {
  ;({ segmenter, classes, small, first } = await smallScene())
})
test.after(() => segmenter.close())

const segment = (options?: SegmentOptions, image: ImageData = small) => segmenter.segment(image, classes, options)

/** The mask and confidence of these maps, by the formula in the documentation. */
function maskOf(cams: Float32Array, power: number, ignoreBelow: number) {
  const pixels = 80 * 56
  const mask = new Uint8Array(pixels)
  const confidence = new Float32Array(pixels)
  for (let i = 0; i < pixels; i++) {
    const maps = [0, 1, 2, 3].map((k) => cams[k * pixels + i] as number)
    const most = Math.max(...maps)
    const background = Math.fround(1 - most) ** power
    confidence[i] = Math.max(background, most)
    mask[i] = background >= most ? 0 : maps.indexOf(most) + 1
    if ((confidence[i] as number) < Math.fround(ignoreBelow)) mask[i] = 255
  }
  return { mask, confidence }
}

test('mask and confidence follow from the cams, backgroundPower and ignoreBelow', async () => {
  for (const refine of [true, false])
    for (const backgroundPower of [0, 0.5, 1, 3, 100])
      for (const ignoreBelow of [0, 0.6, 0.9, 1]) {
        const options = { refine, backgroundPower, ignoreBelow, ...everything }
        const { mask, confidence, cams } = await segment(options)
        const expected = maskOf(cams as Float32Array, backgroundPower, ignoreBelow)
        const what = JSON.stringify(options)
        assert.ok(largestDifference(confidence as Float32Array, expected.confidence) < 1e-6, what)
        if (backgroundPower === 1) assert.equal(mask, expected.mask, what)
        assert.ok(agreement(mask, expected.mask) > 0.999, what)
      }
})

test('backgroundPower 0 makes every pixel background, and a large power makes almost none', async () => {
  assert.ok((await segment({ backgroundPower: 0 })).mask.every((value) => value === 0))
  const rest = (await segment({ backgroundPower: 1e6 })).mask.filter((value) => value === 0).length
  assert.ok(rest < first.mask.filter((value) => value === 0).length / 2)
})

test('a higher ignoreBelow ignores more pixels, and none with a higher confidence', async () => {
  const ignored = async (ignoreBelow: number) => (await segment({ ignoreBelow })).mask.filter((value) => value === 255).length
  const counts = [await ignored(0), await ignored(0.5), await ignored(0.7), await ignored(0.9), await ignored(1)]
  assert.is(counts[0], 0)
  assert.is(counts[1], 0) // a power of 1: map and background add up to 1, so the larger is at least 0.5
  assert.equal(
    counts,
    [...counts].sort((a, b) => a - b),
  )
  assert.ok((counts[4] as number) > (counts[2] as number))
})

test('refine and boxThreshold change the maps, but not the scores', async () => {
  const plain = await segment({ refine: false, ...everything })
  assert.not.equal(plain.cams, first.cams)
  assert.equal(plain.scores, first.scores)
  const [low, high] = [await segment({ boxThreshold: 0.1, ...everything }), await segment({ boxThreshold: 0.9, ...everything })]
  assert.not.equal(low.cams, high.cams)
  assert.equal(high.scores, first.scores)
  assert.equal((await segment({ boxThreshold: 0.4, ...everything })).cams, first.cams)
  for (const boxThreshold of [0, 1]) {
    const { cams, confidence } = await segment({ boxThreshold, ...everything })
    assert.ok(cams?.every((value) => value >= 0 && value <= 1) && confidence?.every((value) => value >= 0.5 && value <= 1))
  }
})

test.run()
