import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClassSet, ImageData, Segmenter, SegmentResult } from '../../ts/index.js'
import { load, rejects, type Scene, scene, temporaryFolder } from './support.js'

const names = ['cat', 'bus', 'key', 'soccer ball']
let segmenter: Segmenter
let photo: Scene
let classes: ClassSet

test.before(async () => {
  segmenter = await load()
  photo = await scene('scene02')
  classes = await segmenter.encodeClasses(names, { background: photo.background })
})

test.after(() => segmenter.close())

const auto = { labels: 'auto' } as const

test('labels that are found are segmented as if they were given', async () => {
  const found = await segmenter.segment(photo, classes, { ...auto, include: ['cams'] })
  assert.equal(found.labels, ['bus', 'soccer ball'])
  assert.is(found.presence?.length, 2)
  assert.ok(found.presence?.every((p) => p >= 0.15 && p <= 1))
  const asked = await segmenter.segment(photo, classes, { labels: ['bus', 'soccer ball'], include: ['cams'] })
  for (const part of ['mask', 'scores', 'cams'] as const) assert.equal(found[part], asked[part])
  assert.is(asked.presence, undefined)
})

test("if nothing is found all is background, also in the caller's memory", async () => {
  const output = { mask: new Uint8Array(320 * 240).fill(7), confidence: new Float32Array(320 * 240) }
  const none = await segmenter.segment(photo, classes, { ...auto, labelThreshold: 1, include: ['cams'], output })
  assert.equal([none.labels, none.scores.length, none.presence?.length, none.cams?.length], [[], 0, 0, 0])
  assert.is(none.mask, output.mask)
  assert.is(none.confidence, output.confidence)
  assert.ok(none.mask.every((value) => value === 0) && none.confidence?.every((value) => value === 1))
  const plain = await segmenter.segment(photo, classes, { ...auto, labelThreshold: 1 })
  assert.equal(Object.keys(plain).sort(), ['height', 'labels', 'mask', 'presence', 'scores', 'timings', 'width'])
  assert.equal(plain.mask, none.mask)
})

test('segment(), segmentAll() and an encoded photo find the same labels, for every pixel layout', async () => {
  const expected = await segmenter.segment(photo, classes, { ...auto, include: ['confidence'] })
  const same = ({ labels, presence, mask, confidence }: SegmentResult) => {
    assert.equal([labels, presence, mask, confidence], [expected.labels, expected.presence, expected.mask, expected.confidence])
  }
  const bgra = new Uint8Array(320 * 240 * 4)
  for (let i = 0; i < 320 * 240; i++) for (let c = 0; c < 3; c++) bgra[4 * i + c] = photo.data[3 * i + 2 - c] as number
  const rowBytes = 3 * 320 + 11
  const padded = new Uint8Array(rowBytes * 240).fill(99)
  for (let y = 0; y < 240; y++) padded.set(photo.data.subarray(3 * 320 * y, 3 * 320 * (y + 1)), y * rowBytes)
  const images: ImageData[] = [
    photo,
    { data: bgra, width: 320, height: 240, channels: 'bgra' },
    { data: padded, width: 320, height: 240, channels: 'rgb', rowBytes },
  ]
  for (const image of images) {
    same(await segmenter.segment(image, classes, { ...auto, include: ['confidence'] }))
    using encoded = await segmenter.encode(image)
    same(await encoded.segment(classes, { ...auto, include: ['confidence'] }))
  }
  let count = 0
  for await (const result of segmenter.segmentAll(images, classes, { ...auto, include: ['confidence'] })) {
    same(result)
    count++
  }
  assert.is(count, images.length)
})

test('a class is found if its score reaches the threshold, and 0 finds every class', async () => {
  using encoded = await segmenter.encode(photo)
  const all = await encoded.segment(classes, { ...auto, labelThreshold: 0 })
  assert.equal(all.labels, names)
  const presence = [...(all.presence as Float32Array)]
  for (const labelThreshold of [0.05, 0.3, 0.6]) {
    const { labels } = await encoded.segment(classes, { ...auto, labelThreshold })
    assert.equal(
      labels,
      names.filter((_, c) => (presence[c] as number) >= labelThreshold),
    )
  }
})

test('a class has its own threshold, else the default, and the option replaces both', async () => {
  using encoded = await segmenter.encode(photo)
  const { labels: all, presence } = await encoded.segment(classes, { ...auto, labelThreshold: 0 })
  const bus = presence?.[all.indexOf('bus')] as number
  const encode = (labelThreshold: number) =>
    segmenter.encodeClasses(['cat', { name: 'bus', labelThreshold }, 'key', 'soccer ball'], { background: photo.background })
  const strict = await encode(Math.min(1, bus + 0.01))
  assert.equal((await encoded.segment(strict, auto)).labels, ['soccer ball'])
  assert.equal((await encoded.segment(strict, { ...auto, labelThreshold: 0.15 })).labels, ['bus', 'soccer ball'])
  assert.equal((await encoded.segment(await encode(bus - 0.01), auto)).labels, ['bus', 'soccer ball'])
  const file = join(temporaryFolder(), 'strict.safetensors')
  await strict.save(file)
  const loaded = await segmenter.loadClasses(file)
  assert.equal((await encoded.segment(loaded, auto)).labels, ['soccer ball'])
  for (const labelThreshold of [-0.1, 1.1, Number.NaN, '0.2'])
    await rejects(
      segmenter.encodeClasses([{ name: 'bus', labelThreshold } as never]),
      'ERR_INVALID_ARG',
      'classes[0].labelThreshold is',
      'a number from 0 to 1',
    )
})

test('one place in the queue is enough, because the crops of a call wait for room', async () => {
  const own = await load(undefined, { threads: 1, maxQueue: 1 })
  const expected = await segmenter.segment(photo, classes, auto)
  const other = await own.encodeClasses(names, { background: photo.background })
  const calls = await Promise.all([own.segment(photo, other, auto), own.segment(photo, other, auto)])
  for (const { labels, mask } of calls) assert.equal([labels, mask], [expected.labels, expected.mask])
  const first = [1, 2, 3].map(() => own.segment(photo, other, auto))
  const outcomes = await Promise.allSettled(first)
  assert.equal(
    outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : 'done')),
    ['done', 'done', 'ERR_QUEUE_FULL'],
  )
  await own.close()
})

test('timings are the sums over all jobs of a call', async () => {
  const { timings } = await segmenter.segment(photo, classes, auto)
  using encoded = await segmenter.encode(photo)
  const again = await encoded.segment(classes, auto)
  assert.ok(again.timings.encode > 0, 'of the crops')
  assert.ok(timings.encode > 0 && timings.preprocess > 0 && timings.gradcam > 0)
  assert.equal(Object.keys(timings), Object.keys(encoded.timings))
})

test('an encoded photo that is disposed during a call releases its memory after the call', async () => {
  const expected = await segmenter.segment(photo, classes, auto)
  const encoded = await segmenter.encode(photo)
  const pending = encoded.segment(classes, auto)
  encoded.dispose()
  assert.equal((await pending).mask, expected.mask)
  await rejects(encoded.segment(classes, auto), 'ERR_CLOSED', 'disposed')
})

test('pixels or memory that were transferred away are an error, not a crash', async () => {
  const data = Uint8Array.from(photo.data)
  using encoded = await segmenter.encode({ ...photo, data })
  structuredClone(data.buffer, { transfer: [data.buffer] })
  await rejects(encoded.segment(classes, auto), 'ERR_INVALID_ARG', 'image.data was transferred away')
  assert.equal((await encoded.segment(classes, { labels: ['bus'] })).labels, ['bus']) // does not read them
  const mask = new Uint8Array(320 * 240)
  const pending = segmenter.segment(photo, classes, { ...auto, output: { mask } })
  structuredClone(mask.buffer, { transfer: [mask.buffer] })
  await rejects(pending, 'ERR_INVALID_ARG', 'output.mask was transferred away')
})

test('an abort and close() end a call', async () => {
  const reason = new Error('enough')
  const own = await load()
  const other = await own.encodeClasses(names, { background: photo.background })
  for (const delay of [0, 10, 40]) {
    const controller = new AbortController()
    const pending = own.segment(photo, other, { ...auto, signal: controller.signal })
    setTimeout(() => controller.abort(reason), delay)
    const outcome = await pending.catch((error: unknown) => error)
    assert.ok(outcome === reason || (outcome as SegmentResult).labels.length === 2)
  }
  const pending = own.segment(photo, other, auto)
  const closing = own.close()
  await rejects(pending, 'ERR_CLOSED')
  await closing
})

test("options that cannot be combined with labels 'auto' are refused", async () => {
  const call = (options: object) => segmenter.segment(photo, classes, options)
  await rejects(call({ labelThreshold: 0.2 }), 'ERR_INVALID_ARG', "labelThreshold is 0.2, but it is only for labels: 'auto'")
  await rejects(call({ labels: ['bus'], labelThreshold: 0.2 }), 'ERR_INVALID_ARG', "only for labels: 'auto'")
  for (const labelThreshold of [-0.1, 1.1, Number.NaN, '0.2'])
    await rejects(call({ ...auto, labelThreshold }), 'ERR_INVALID_ARG', 'labelThreshold is', 'a number from 0 to 1')
  await rejects(call({ labels: 'all' }), 'ERR_INVALID_ARG', "labels is 'all'; expected an array of names or indices, or 'auto'")
  const cams = new Float32Array(320 * 240)
  await rejects(call({ ...auto, output: { cams } }), 'ERR_INVALID_ARG', 'output.cams', "include: ['cams']")
  const shared = { mask: new Uint8Array(photo.data.buffer, photo.data.byteOffset, 320 * 240) }
  using encoded = await segmenter.encode(photo)
  await rejects(encoded.segment(classes, { ...auto, output: shared }), 'ERR_INVALID_ARG', 'overlap in memory')
  const bare = await segmenter.encodeClasses(['cat', 'dog'], { background: [] })
  await rejects(segmenter.segment(photo, bare, auto), 'ERR_INVALID_ARG', "labels 'auto' cannot be used without background words")
})

test("a class named 'auto' is a label like others", async () => {
  const set = await segmenter.encodeClasses(['auto', 'bus'], { background: photo.background })
  assert.equal((await segmenter.segment(photo, set, { labels: ['auto'] })).labels, ['auto'])
})

test.run()
