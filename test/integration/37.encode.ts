import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type ClassSet, EncodedImage, type ImageData, type Segmenter, type SegmentOptions } from '../../ts/index.js'
import { crop, load, otherModelPath, reasonOf, rejects, type Scene, scene, withoutTimings } from './support.js'

let segmenter: Segmenter
let photo: Scene
let classes: ClassSet

const everything = { include: ['confidence', 'cams'] } as const
test.before(async () => {
  segmenter = await load()
  photo = await scene('scene01')
  classes = await segmenter.encodeClasses(photo.labels, { background: photo.background })
})

test.after(() => segmenter.close())

test('an encoded photo gives the results of segment() for any words and options', async () => {
  const encoded = await segmenter.encode(photo)
  assert.instance(encoded, EncodedImage)
  assert.equal([encoded.width, encoded.height], [320, 240])
  const words = await segmenter.encodeClasses(['cat', { name: 'tusk', synonyms: ['tusk', 'ivory'] }], { fusion: 'cam' })
  const table: [ClassSet, SegmentOptions][] = [
    [classes, {}],
    [words, {}],
    [classes, { labels: ['panda'], boxThreshold: 0.7 }],
    [classes, { refine: false, backgroundPower: 2 }],
    [words, { ignoreBelow: 0.8 }],
  ]
  for (const [set, options] of table) {
    const [from, direct] = [
      { ...options, ...everything },
      { ...options, ...everything },
    ]
    const [a, b] = [await encoded.segment(set, from), await segmenter.segment(photo, set, direct)]
    assert.equal(withoutTimings(a), withoutTimings(b))
  }
  encoded.dispose()
})

test('new words do not encode the photo again', async () => {
  const encoded = await segmenter.encode(photo)
  const { timings } = await encoded.segment(classes)
  assert.is(timings.preprocess, 0)
  assert.is(timings.encode, 0)
  assert.ok(timings.gradcam > 0 && timings.mask > 0)
  encoded.dispose()
})

test('an encoded photo has the time of its encoding', async () => {
  const encoded = await segmenter.encode(photo)
  const { queue, preprocess, encode, ...others } = encoded.timings
  assert.ok(queue >= 0 && preprocess > 0 && encode > preprocess, JSON.stringify(encoded.timings))
  assert.equal(others, { gradcam: 0, refine: 0, mask: 0, crf: 0 })
  encoded.dispose()
})

test('the bytes of the image can change after encode()', async () => {
  const expected = withoutTimings(await segmenter.segment(photo, classes, everything))
  const data = new Uint8Array(photo.data)
  const encoded = await segmenter.encode({ ...photo, data })
  data.fill(0)
  structuredClone(data.buffer, { transfer: [data.buffer] })
  assert.equal(withoutTimings(await encoded.segment(classes, everything)), expected)
  encoded.dispose()
})

test('encoded photos of several sizes and segment() can be used at the same time', async () => {
  const photos = [crop(photo, 64, 48), photo, crop(photo, 17, 200), crop(photo, 300, 20)]
  const expected = []
  for (const image of photos) expected.push(withoutTimings(await segmenter.segment(image, classes, everything)))
  const encoded = await Promise.all(photos.map((image) => segmenter.encode(image)))
  const jobs = encoded.flatMap((image, i) => [
    image.segment(classes, everything),
    segmenter.segment(photos[photos.length - 1 - i] as ImageData, classes, everything),
  ])
  const results = (await Promise.all(jobs)).map(withoutTimings)
  for (const [i, wanted] of expected.entries()) {
    assert.equal(results[2 * i], wanted)
    assert.equal(results[2 * i + 1], expected[expected.length - 1 - i])
  }
  for (const image of encoded) image.dispose()
})

test('output is filled in place', async () => {
  const encoded = await segmenter.encode(crop(photo, 64, 48))
  const output = { mask: new Uint8Array(64 * 48).fill(7), cams: new Float32Array(3 * 64 * 48).fill(7) }
  const result = await encoded.segment(classes, { output })
  assert.is(result.mask, output.mask)
  assert.is(result.cams, output.cams)
  assert.ok(output.mask.every((value) => value <= 3) && output.cams.every((value) => value <= 1))
  encoded.dispose()
})

test('a disposed photo is refused, can be disposed again, and does not affect the segmenter', async () => {
  const encoded = await segmenter.encode(photo)
  const expected = withoutTimings(await encoded.segment(classes))
  encoded.dispose()
  encoded.dispose()
  await rejects(encoded.segment(classes), 'ERR_CLOSED', 'was disposed', 'encode the photo again')
  assert.equal(withoutTimings(await segmenter.segment(photo, classes)), expected)
})

test('a job that began before dispose() ends with its result', async () => {
  const encoded = await segmenter.encode(photo)
  const expected = withoutTimings(await encoded.segment(classes, everything))
  const jobs = [1, 2, 3].map(() => encoded.segment(classes, everything))
  encoded.dispose()
  for (const result of await Promise.all(jobs)) assert.equal(withoutTimings(result), expected)
})

test('Symbol.dispose disposes, as at the end of a block with using', async () => {
  const encoded = await segmenter.encode(photo)
  {
    using inner = encoded
    assert.is((await inner.segment(classes)).width, 320)
  }
  await rejects(encoded.segment(classes), 'ERR_CLOSED', 'was disposed')
})

test('after close() an encoded photo gives ERR_CLOSED and can be disposed', async () => {
  const own = await load()
  const set = await own.encodeClasses(['panda'])
  const encoded = await own.encode(photo)
  await own.close()
  await rejects(encoded.segment(set), 'ERR_CLOSED', 'the segmenter is closed')
  encoded.dispose()
  await rejects(encoded.segment(set), 'ERR_CLOSED', 'was disposed')
})

test('a wrong image, option or class set is refused, and the photo stays usable', async () => {
  const wrong: [unknown, unknown, ...string[]][] = [
    [undefined, {}, 'image is undefined'],
    [{ ...photo, width: 0 }, {}, 'image.width is 0'],
    [{ ...photo, height: 239 }, {}, 'image.data has 230400 bytes; 320 x 239 needs'],
    [photo, null, 'options is null'],
    [photo, { labels: ['panda'] }, "unknown option 'labels'", 'known: signal'],
    [photo, { signal: 1 }, 'signal is 1', 'an AbortSignal'],
  ]
  for (const [image, options, ...parts] of wrong)
    await rejects(segmenter.encode(image as ImageData, options as object), 'ERR_INVALID_ARG', 'encode(): ', ...parts)
  const encoded = await segmenter.encode(photo)
  const expected = withoutTimings(await encoded.segment(classes))
  const other = await load(otherModelPath)
  await rejects(encoded.segment(await other.encodeClasses(['panda'])), 'ERR_INVALID_ARG', 'another model')
  await other.close()
  await rejects(encoded.segment(['panda'] as unknown as ClassSet), 'ERR_INVALID_ARG', 'classes is')
  await rejects(encoded.segment(classes, { labels: ['pandas'] }), 'ERR_INVALID_ARG', "did you mean 'panda'?")
  await rejects(encoded.segment(classes, { output: { mask: new Uint8Array(4) } }), 'ERR_INVALID_ARG', 'need 76800')
  assert.equal(withoutTimings(await encoded.segment(classes)), expected)
  encoded.dispose()
})

test('encode() and an encoded photo can be aborted, with the reason', async () => {
  const reason = new Error('another photo')
  assert.is(await reasonOf(segmenter.encode(photo, { signal: AbortSignal.abort(reason) })), reason)
  const controller = new AbortController()
  const running = segmenter.encode(photo)
  const waiting = segmenter.encode(photo, { signal: controller.signal })
  controller.abort(reason)
  assert.is(await reasonOf(waiting), reason)
  const encoded = await running
  assert.is(await reasonOf(encoded.segment(classes, { signal: AbortSignal.abort(reason) })), reason)
  assert.is((await encoded.segment(classes)).width, 320)
  encoded.dispose()
})

test.run()
