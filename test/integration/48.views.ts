// Maps that are averaged over scales and the mirrored photo, and labels with low scores.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClassSet, ImageData, Segmenter, SegmentOptions } from '../../ts/index.js'
import { everything, smallScene } from './small_scene.js'
import { largestDifference, load, rejects, type Scene, withoutTimings } from './support.js'

let segmenter: Segmenter
let photo: Scene
let small: ImageData & { data: Uint8Array }
let classes: ClassSet

test.before(async () => {
  ;({ segmenter, photo, small } = await smallScene())
  classes = await segmenter.encodeClasses([...photo.labels, 'fish', 'banana'], { background: photo.background })
})
test.after(() => segmenter.close())

const segment = async (options: SegmentOptions, image: ImageData = small) =>
  withoutTimings(await segmenter.segment(image, classes, { ...everything, ...options }))

/** Rows of `width` values, or of pixels with `channels` values, from right to left. */
function mirrored<T extends Uint8Array | Float32Array>(rows: T, width: number, channels = 1): T {
  const out = rows.slice() as T
  for (let i = 0; i < rows.length; i++) {
    const [pixel, channel] = [Math.floor(i / channels), i % channels]
    const x = pixel % width
    out[(pixel - x + width - 1 - x) * channels + channel] = rows[i] as number
  }
  return out
}

const mean = (arrays: readonly Float32Array[]): Float32Array =>
  Float32Array.from(
    arrays[0] as Float32Array,
    (_, i) => arrays.reduce((sum, array) => sum + (array[i] as number), 0) / arrays.length,
  )

const methods = ['gradcam', 'similarity'] as const

test('scale 1 without the mirrored photo is the default', async () => {
  for (const maps of methods)
    assert.equal(await segment({ maps, scales: [1], flip: false, minScore: 0 }), await segment({ maps }))
})

test('the maps of several scales are the mean of those of each', async () => {
  for (const maps of methods)
    for (const refine of [true, false]) {
      const scales = [0.5, 1, 1.5]
      const each = await Promise.all(scales.map((scale) => segment({ maps, refine, scales: [scale] })))
      const all = await segment({ maps, refine, scales })
      const off = largestDifference(all.cams as Float32Array, mean(each.map(({ cams }) => cams as Float32Array)))
      assert.ok(off < 1e-6, `${maps}: ${off}`)
      assert.not.equal(all.cams, each[1]?.cams)
      if (maps === 'gradcam') assert.ok(largestDifference(all.scores, mean(each.map(({ scores }) => scores))) < 1e-6)
    }
})

test('flip adds the maps of the mirrored photo, mirrored back', async () => {
  const other = { ...small, data: mirrored(small.data, small.width, small.data.length / (small.width * small.height)) }
  for (const maps of methods) {
    const plain = (await segment({ maps })).cams as Float32Array
    const back = mirrored((await segment({ maps }, other)).cams as Float32Array, small.width)
    const both = (await segment({ maps, flip: true })).cams as Float32Array
    const off = largestDifference(both, mean([plain, back]))
    assert.ok(off < 2e-3, `${maps}: ${off}`) // a mirrored photo is resized to bytes that can differ by one level
    assert.ok(largestDifference(both, plain) > 0.01)
  }
})

test('mask and confidence follow from the averaged maps', async () => {
  const { cams, confidence, mask, labels } = await segment({
    scales: [0.75, 1.25],
    flip: true,
    backgroundPower: 2,
    ignoreBelow: 0.3,
  })
  const pixels = small.width * small.height
  for (let i = 0; i < pixels; i++) {
    const values = labels.map((_, k) => (cams as Float32Array)[k * pixels + i] as number)
    const most = Math.max(...values)
    const background = (1 - most) ** 2
    const best = Math.max(most, background)
    assert.ok(Math.abs(best - ((confidence as Float32Array)[i] as number)) < 1e-6)
    if (Math.abs(best - 0.3) < 1e-6 || Math.abs(most - background) < 1e-6) continue
    assert.is(mask[i], best < 0.3 ? 255 : background > most ? 0 : values.indexOf(most) + 1)
  }
})

test('encoded photos, segmentAll(), labels auto and a CRF work with scales and flip', async () => {
  for (const maps of methods) {
    const options = { ...everything, maps, crf: true, scales: [0.75, 1], flip: true }
    const expected = await segment(options)
    const encoded = await segmenter.encode(small)
    assert.equal(withoutTimings(await encoded.segment(classes, options)), expected)
    encoded.dispose()
    for await (const result of segmenter.segmentAll([small, small], classes, options))
      assert.equal(withoutTimings(result), expected)
    const { labels, cams, presence } = await segment({ ...options, labels: 'auto' }, photo)
    assert.ok(labels.length > 0 && presence?.length === labels.length)
    assert.equal((await segment({ ...options, labels }, photo)).cams, cams)
  }
})

test('photos with and without scales share a batch', async () => {
  const own = await load(undefined, { maxBatch: 4, maxDelay: 50, concurrency: 1 })
  const set = await own.encodeClasses(photo.labels, { background: photo.background })
  const alone = withoutTimings(await own.segment(small, set, { scales: [0.5, 1] }))
  const results = await Promise.all([
    own.segment(small, set),
    own.segment(small, set, { scales: [0.5, 1] }),
    own.segment(small, set),
  ])
  assert.equal(withoutTimings(results[1]), alone)
  assert.equal(results[0]?.mask, results[2]?.mask)
  await own.close()
})

test('no scale makes a photo larger than maxSide', async () => {
  const own = await load(undefined, { maxSide: 80 })
  const set = await own.encodeClasses(photo.labels, { background: photo.background })
  const [one, four] = [await own.segment(small, set, { scales: [1] }), await own.segment(small, set, { scales: [4] })]
  assert.equal(four.mask, one.mask)
  await own.close()
})

test('labels with a score below minScore get no pixels and an empty map', async () => {
  const pixels = photo.width * photo.height
  for (const maps of methods)
    for (const crf of [false, true]) {
      const all = await segment({ maps, crf }, photo)
      const minScore = maps === 'gradcam' ? (all.scores.slice().sort()[1] as number) : 0.5
      const some = await segment({ maps, crf, minScore }, photo)
      assert.equal(some.labels, all.labels)
      assert.equal(some.scores, all.scores)
      const dropped = [...all.scores.keys()].filter((k) => (all.scores[k] as number) < minScore)
      assert.ok(dropped.length > 0 && dropped.length < all.labels.length)
      for (const k of all.scores.keys()) {
        const [map, before] = [some, all].map(({ cams }) => (cams as Float32Array).subarray(k * pixels, (k + 1) * pixels))
        if (dropped.includes(k)) assert.ok(map?.every((value) => value === 0) && !some.mask.includes(k + 1), `${k}`)
        else assert.equal(map, before)
      }
      const rest = all.labels.filter((_, k) => !dropped.includes(k))
      if (maps === 'similarity') assert.equal(rest, photo.labels)
    }
})

test('if all scores are below minScore, all is background', async () => {
  const { mask, confidence, cams } = await segment({ minScore: 1 })
  assert.ok(mask.every((value) => value === 0))
  assert.ok(confidence?.every((value) => value === 1))
  assert.ok(cams?.every((value) => value === 0))
  assert.ok((await segment({ minScore: 1, crf: true })).mask.every((value) => value === 0))
})

test('backgroundBelow makes pixels background where no map is larger, and no other pixels', async () => {
  const pixels = photo.width * photo.height
  for (const maps of methods) {
    const [usual, limited] = [await segment({ maps }, photo), await segment({ maps, backgroundBelow: 0.6 }, photo)]
    assert.equal([limited.scores, limited.cams], [usual.scores, usual.cams])
    const largest = (pixel: number) => Math.max(...usual.labels.map((_, k) => usual.cams?.[k * pixels + pixel] as number))
    const limit = Math.fround(0.6)
    assert.equal(
      limited.mask,
      usual.mask.map((value, pixel) => (largest(pixel) <= limit ? 0 : value)),
    )
    assert.equal(
      limited.confidence,
      usual.confidence?.map((value) => Math.max(value, limit)),
    )
    assert.not.equal(limited.mask, usual.mask)
    assert.ok(limited.mask.some((value) => value > 0))
  }
})

test('wrong scales, flips and scores are refused, with what was expected', async () => {
  const wrong: [Record<string, unknown>, ...string[]][] = [
    [{ scales: 1 }, 'scales is 1', 'an array'],
    [{ scales: [] }, 'scales has 0 elements', '1 to 16'],
    [{ scales: [1, 8] }, 'scales[1] is 8', 'a number from 0.25 to 4'],
    [{ scales: ['1'] }, "scales[0] is '1'", 'a number'],
    [{ scales: [1, 0.5, 1] }, "scales has '1' twice", 'leave one out'],
    [{ flip: 'yes' }, "flip is 'yes'", 'true or false'],
    [{ minScore: 2 }, 'minScore is 2', 'from 0 to 1'],
    [{ backgroundBelow: -0.1 }, 'backgroundBelow is -0.1', 'from 0 to 1'],
    [{ scale: [1] }, "unknown option 'scale'", "did you mean 'scales'?"],
  ]
  for (const [options, ...parts] of wrong)
    await rejects(segmenter.segment(small, classes, options), 'ERR_INVALID_ARG', 'segment(): ', ...parts)
})

test.run()
