import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type ClassSet, type ImageData, Segmenter, type SegmentResult } from '../../ts/index.js'
import { load, queueImages, withSegmenter } from './one_at_a_time.js'
import { reasonOf, rejects, type Scene, withoutTimings } from './support.js'

let segmenter: Segmenter
let classes: ClassSet
let photo: Scene
let small: ImageData
let large: ImageData

test.before(async () => {
  segmenter = await load()
  ;({ photo, small, large } = await queueImages())
  classes = await segmenter.encodeClasses(photo.labels, { background: photo.background })
})
test.after(() => segmenter.close())

test('promises settle in the order of the calls, whatever the jobs are and how long they take', async () => {
  const settled: string[] = []
  const calls: [string, () => Promise<unknown>][] = [
    ['large', () => segmenter.segment(large, classes)],
    ['small', () => segmenter.segment(small, classes)],
    ['words', () => segmenter.encodeClasses(['cat', 'dog'])],
    ['encode', () => segmenter.encode(photo)],
    ['photo', () => segmenter.segment(photo, classes)],
    ['last', () => segmenter.segment(small, classes)],
  ]
  await Promise.all(calls.map(([name, call]) => call().then(() => settled.push(name))))
  assert.equal(
    settled,
    calls.map(([name]) => name),
  )
})

test('other jobs in the queue do not change a result', async () => {
  const alone = withoutTimings(await segmenter.segment(photo, classes, { include: ['confidence', 'cams'] }))
  const [, together, , again] = await Promise.all([
    segmenter.segment(small, classes),
    segmenter.segment(photo, classes, { include: ['confidence', 'cams'] }),
    segmenter.segment(large, classes),
    segmenter.segment(photo, classes, { include: ['confidence', 'cams'] }),
  ])
  assert.equal(withoutTimings(together as SegmentResult), alone)
  assert.equal(withoutTimings(again as SegmentResult), alone)
})

test('the event loop keeps running while a job runs', async () => {
  let iterations = 0
  const timer = setInterval(() => iterations++, 1)
  await segmenter.segment(large, classes)
  clearInterval(timer)
  assert.ok(iterations > 3, `${iterations} iterations`)
})

test('timings.queue is the time that a job waited', async () => {
  const [, second, third] = await Promise.all([large, large, small].map((image) => segmenter.segment(image, classes)))
  assert.ok(second && third && third.timings.queue >= second.timings.encode)
})

test('a full queue rejects with ERR_QUEUE_FULL at once, and accepts jobs again when it has room', async () => {
  await withSegmenter({ maxQueue: 1 }, async (own) => {
    const running = own.segment(large, classes)
    const waiting = own.segment(small, classes)
    const message = ['1 jobs wait already', 'segmentAll()', 'maxQueue']
    await rejects(own.segment(small, classes), 'ERR_QUEUE_FULL', ...message)
    await rejects(own.encode(small), 'ERR_QUEUE_FULL', ...message)
    await rejects(own.encodeClasses(['cat']), 'ERR_QUEUE_FULL', ...message)
    assert.is((await running).width, 640)
    const next = own.segment(small, classes)
    assert.is((await waiting).width, 64)
    assert.is((await next).width, 64)
  })
})

test('an aborted job frees its place in the queue', async () => {
  await withSegmenter({ maxQueue: 1 }, async (own) => {
    const controller = new AbortController()
    const running = own.segment(large, classes)
    const waiting = own.segment(small, classes, { signal: controller.signal })
    controller.abort()
    await reasonOf(waiting)
    const next = own.segment(small, classes)
    await rejects(own.segment(small, classes), 'ERR_QUEUE_FULL')
    assert.equal([(await running).width, (await next).width], [640, 64])
  })
})

test('several segmenters work at the same time', async () => {
  const expected = withoutTimings(await segmenter.segment(photo, classes))
  const several = await Promise.all([
    load(),
    load(undefined, { threads: 1 }),
    Segmenter.load(segmenter.model.path, { precision: 'float32' }),
  ])
  const results = await Promise.all([segmenter, ...several].flatMap((one) => [1, 2].map(() => one.segment(photo, classes))))
  for (const result of results) assert.equal(withoutTimings(result), expected)
  await Promise.all(several.map((one) => one.close()))
  assert.equal(withoutTimings(await segmenter.segment(photo, classes)), expected)
})

test.run()
