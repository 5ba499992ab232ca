import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClassSet, ImageData, Segmenter, SegmentOptions, SegmentResult } from '../../ts/index.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { everything, smallScene } from './small_scene.js'
import { agreement, largestDifference, reasonOf, root, type Scene, withoutTimings } from './support.js'

let segmenter: Segmenter
let photo: Scene
let classes: ClassSet
let small: ImageData
let first: SegmentResult

test.before(async () => {
  ;({ segmenter, photo, classes, small, first } = await smallScene())
})
test.after(() => segmenter.close())

const segment = (options?: SegmentOptions, image: ImageData = small) => segmenter.segment(image, classes, options)

test('a result has the size of the photo, labels, scores and a mask, and nothing that was not asked for', async () => {
  const result = await segmenter.segment(photo, classes)
  assert.equal(Object.keys(result).sort(), ['height', 'labels', 'mask', 'scores', 'timings', 'width'])
  assert.equal([result.width, result.height], [320, 240])
  assert.equal(result.labels, ['elephant', 'television', 'panda', 'cat'])
  assert.instance(result.scores, Float32Array)
  assert.is(result.scores.length, 4)
  assert.is(result.mask.constructor, Uint8Array)
  assert.is(result.mask.length, 320 * 240)
  assert.ok(result.mask.every((value) => value <= 4))
  assert.equal(Object.keys(result.timings), ['queue', 'preprocess', 'encode', 'gradcam', 'refine', 'mask', 'crf'])
  for (const milliseconds of Object.values(result.timings)) assert.ok(milliseconds >= 0 && milliseconds < 3_600_000)
})

test('timings are in milliseconds, and their sum is most of the time of the call', async () => {
  const begin = performance.now()
  const { timings } = await segmenter.segment(photo, classes)
  const elapsed = performance.now() - begin
  const sum = Object.values(timings).reduce((total, time) => total + time, 0)
  assert.ok(sum > elapsed / 4 && sum <= elapsed + 5, `${sum} of ${elapsed} ms`)
})

test('the mask of a scene covers its objects', async () => {
  const { data: truth } = await readMask(readFileSync(join(root, 'models/scenes/scene01_mask.png')))
  const { mask } = await segmenter.segment(photo, classes, { labels: photo.labels })
  for (const [k, label] of photo.labels.entries()) {
    const both = mask.filter((value, i) => value === k + 1 && truth[i] === k + 1).length
    const either = mask.filter((value, i) => value === k + 1 || truth[i] === k + 1).length
    assert.ok(both / either > 0.4, `${label}: ${both} of ${either} pixels`)
  }
})

test('confidence and cams are present when asked for, at the size of the photo', async () => {
  const { confidence, cams, mask } = await segment({ include: ['confidence', 'cams'] })
  assert.instance(confidence, Float32Array)
  assert.is(confidence?.length, 80 * 56)
  assert.instance(cams, Float32Array)
  assert.is(cams?.length, 4 * 80 * 56)
  assert.ok(cams?.every((value) => value >= 0 && value <= 1))
  assert.equal(mask, first.mask)
  assert.equal(
    Object.keys(await segment({ include: ['cams'] })).filter((key) => key === 'confidence'),
    [],
  )
  assert.equal((await segment({ include: [] })).mask, first.mask)
})

test('labels can be names or indices, and the mask keeps the numbers of the class set', async () => {
  const byName = await segment({ labels: ['panda', 'elephant'], ...everything })
  assert.equal(byName.labels, ['panda', 'elephant'])
  assert.is(byName.scores.length, 2)
  assert.is(byName.cams?.length, 2 * 80 * 56)
  assert.ok(byName.mask.every((value) => [0, 1, 3].includes(value)) && byName.mask.includes(1))
  for (const labels of [
    [2, 0],
    ['panda', 0],
    [2, 'elephant'],
  ])
    assert.equal(withoutTimings(await segment({ labels, ...everything })), withoutTimings(byName))
})

test('scores and cams follow the order of the labels, and the mask does not depend on it', async () => {
  const forth = await segment({ labels: [0, 1, 2, 3], ...everything })
  const back = await segment({ labels: [3, 2, 1, 0], ...everything })
  assert.equal(withoutTimings(forth), withoutTimings(first))
  assert.equal(back.labels, [...forth.labels].reverse())
  assert.ok(largestDifference(back.scores.slice().reverse(), forth.scores) < 1e-6)
  const pixels = 80 * 56
  for (let k = 0; k < 4; k++) {
    const [a, b] = [forth.cams?.subarray(k * pixels, (k + 1) * pixels), back.cams?.subarray((3 - k) * pixels, (4 - k) * pixels)]
    assert.ok(largestDifference(a as Float32Array, b as Float32Array) < 1e-4)
  }
  assert.ok(agreement(forth.mask, back.mask) > 0.999)
})

test('scores are a softmax over labels and background: their sum is below 1, and with fewer labels each is larger', async () => {
  const sum = first.scores.reduce((a, b) => a + b)
  assert.ok(first.scores.every((score) => score > 0) && sum < 1)
  const { scores } = await segment({ labels: [0, 1] })
  assert.ok((scores[0] as number) > (first.scores[0] as number) && (scores[1] as number) > (first.scores[1] as number))
  const ratio = (values: Float32Array) => (values[0] as number) / (values[1] as number)
  assert.ok(Math.abs(ratio(scores) / ratio(first.scores) - 1) < 1e-5)
})

test('arrays in output are filled and returned', async () => {
  const pixels = 80 * 56
  const around = new ArrayBuffer(8 * pixels)
  const output = {
    mask: new Uint8Array(pixels).fill(7),
    confidence: new Float32Array(around, 16, pixels).fill(7),
    cams: new Float32Array(4 * pixels).fill(7),
  }
  const result = await segment({ output })
  for (const part of ['mask', 'confidence', 'cams'] as const) assert.is(result[part], output[part])
  assert.equal(withoutTimings(result), withoutTimings(first))
  assert.ok(new Uint8Array(around, 0, 16).every((byte) => byte === 0))
  assert.ok(new Uint8Array(around, 16 + 4 * pixels).every((byte) => byte === 0))
  const buffer = Buffer.alloc(pixels)
  assert.is((await segment({ output: { mask: buffer } })).mask, buffer)
  assert.equal(new Uint8Array(buffer), first.mask)
})

test('an aborted signal rejects with its reason, and output is not written', async () => {
  const mask = new Uint8Array(80 * 56).fill(7)
  const reason = Symbol('reason')
  assert.is(await reasonOf(segment({ signal: AbortSignal.abort(reason), output: { mask } })), reason)
  assert.ok(mask.every((value) => value === 7))
})

test.run()
