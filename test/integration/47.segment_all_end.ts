// How a loop of segmentAll() ends early: break, error, abort and close(), also while the queue is full.
import { setTimeout as delay, setImmediate as nextIteration } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClassSet, ImageData, SegmentAllOptions, Segmenter, SegmentResult } from '../../ts/index.js'
import { withSegmenter } from './one_at_a_time.js'
import { collectFrom, delayed, type Images, loopUntilError, severalSizes, watched, widths } from './segment_all.js'
import { load, reasonOf, rejects, type Scene } from './support.js'

let segmenter: Segmenter
let classes: ClassSet
let photo: Scene
let images: ImageData[]

test.before(async () => {
  segmenter = await load()
  ;({ photo, images } = await severalSizes())
  classes = await segmenter.encodeClasses(photo.labels, { background: photo.background })
})
test.after(() => segmenter.close())

const collect = (from: Images, options?: SegmentAllOptions & { onError?: 'throw' }, by = segmenter) =>
  collectFrom(by, from, classes, options)

const until = (from: Images, options?: SegmentAllOptions, by = segmenter) => loopUntilError(by, from, classes, options)

test('break closes the source and waits until it is closed', async () => {
  const { log, iterable } = watched(images)
  for await (const { width } of segmenter.segmentAll(iterable, classes)) {
    assert.is(width, 40)
    break
  }
  assert.is(log.returned, 1)
  assert.ok(log.taken <= 4)
  let cleaned = false
  async function* careful() {
    try {
      yield* images
    } finally {
      await delay(5)
      cleaned = true
    }
  }
  for await (const _ of segmenter.segmentAll(careful(), classes)) break
  assert.ok(cleaned)
  assert.is((await segmenter.segment(photo, classes)).width, 320)
})

test('break cancels the waiting images of the loop, even behind another job in the queue', async () => {
  const large = { data: new Uint8Array(640 * 480), width: 640, height: 480 }
  const ended: string[] = []
  let reached = () => {}
  let open = () => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const atGate = new Promise<void>((resolve) => {
    reached = resolve
  })
  async function* gated() {
    yield* [photo, large]
    reached()
    await gate
    yield large
  }
  const loop = async () => {
    for await (const _ of segmenter.segmentAll(gated(), classes)) break
    ended.push('loop')
  }
  const before = segmenter.segment(large, classes) // runs while the others are queued
  const left = loop()
  await atGate
  const stranger = segmenter.segment(large, classes).then(() => ended.push('stranger'))
  open()
  await Promise.all([before, left, stranger])
  assert.equal(ended, ['loop', 'stranger'])
})

test('break does not wait for a source that never yields another image', async () => {
  async function* stuck() {
    yield* images.slice(0, 1)
    await new Promise(() => {})
  }
  for await (const _ of segmenter.segmentAll(stuck(), classes)) break
  assert.is((await segmenter.segment(photo, classes)).width, 320)
})

test('an error that is thrown in the loop reaches the caller', async () => {
  const mine = new Error('mine')
  const { log, iterable } = watched(images)
  const loop = async () => {
    for await (const _ of segmenter.segmentAll(iterable, classes)) throw mine
  }
  assert.is(await reasonOf(loop()), mine)
  assert.is(log.returned, 1)
})

test('loops wait while the queue is full, also if several loops and other calls run at the same time', async () => {
  await withSegmenter({ maxQueue: 1 }, async (own) => {
    const busy = async () => {
      for (let i = 0; i < 10; i++) await own.segment(photo, classes)
    }
    const first = busy()
    const loops = [collect(images, {}, own), collect(images.values(), {}, own), collect(delayed(images), {}, own)]
    const calls = [first].map((promise) => promise.catch((error: { code: string }) => assert.is(error.code, 'ERR_QUEUE_FULL')))
    for (const results of await Promise.all(loops)) assert.equal(widths(results), widths(images))
    await Promise.all(calls)
  })
})

test('refused images do not stop another loop while the queue is full', async () => {
  await withSegmenter({ maxQueue: 1 }, async (own) => {
    const calls = [own.segment(photo, classes), own.segment(photo, classes)]
    const bad = [{ ...photo, width: 1 }]
    const controller = new AbortController()
    const loops = [until(bad, {}, own), until(bad, {}, own), until(images, { signal: controller.signal }, own)]
    const good = collect(images, {}, own)
    controller.abort()
    for (const { results } of await Promise.all(loops)) assert.equal(results, [])
    await Promise.all(calls)
    assert.equal(widths(await good), widths(images))
  })
})

test('an abort before the loop rejects with its reason, and the source is not read', async () => {
  const { log, iterable } = watched(images)
  const reason = new Error('not today')
  assert.is(await reasonOf(collect(iterable, { signal: AbortSignal.abort(reason) })), reason)
  assert.is(log.taken, 0)
})

test('an abort in the loop rejects with its reason and closes the source', async () => {
  const { log, iterable } = watched(images)
  const controller = new AbortController()
  const reason = { any: 'value' }
  const widthsSeen: number[] = []
  const loop = async () => {
    for await (const { width } of segmenter.segmentAll(iterable, classes, { signal: controller.signal })) {
      widthsSeen.push(width)
      if (widthsSeen.length === 2) controller.abort(reason)
    }
  }
  assert.is(await reasonOf(loop()), reason)
  assert.equal(widthsSeen, [40, 48])
  assert.is(log.returned, 1)
  assert.is((await segmenter.segment(photo, classes)).width, 320)
})

test('an abort while the source yields nothing rejects at once', async () => {
  const controller = new AbortController()
  const reason = new Error('waited long enough')
  async function* silent() {
    yield* images.slice(0, 2)
    await new Promise(() => {})
  }
  const seen: number[] = []
  const loop = async () => {
    for await (const { width } of segmenter.segmentAll(silent(), classes, { signal: controller.signal })) {
      seen.push(width)
      if (seen.length === 2) setImmediate(() => controller.abort(reason)) // the loop waits for the third image by then
    }
  }
  assert.is(await reasonOf(loop()), reason)
  assert.equal(seen, [40, 48])
})

test('an abort while the queue is full rejects at once', async () => {
  await withSegmenter({ maxQueue: 1 }, async (own) => {
    const settled: string[] = []
    const grey = new Uint8Array(1024 * 768)
    const running = own.segment({ data: grey, width: 1024, height: 768 }, classes).finally(() => settled.push('running'))
    const waiting = own.segment(photo, classes)
    const controller = new AbortController()
    const { log, iterable } = watched(images)
    const loop = until(iterable, { signal: controller.signal }, own)
    while (log.taken === 0) await nextIteration()
    await nextIteration() // the loop waits for room in the queue by then
    controller.abort('enough')
    assert.is((await loop).reason, 'enough')
    assert.equal(settled, [])
    await Promise.all([running, waiting])
  })
})

test('break waits until the images of the loop have left the queue', async () => {
  await withSegmenter({ maxQueue: 1 }, async (own) => {
    for await (const _ of own.segmentAll([...images, photo, photo], classes)) break
    const next = [own.segment(photo, classes), own.segment(photo, classes)] // as many as run and wait at most
    assert.equal(widths(await Promise.all(next)), [320, 320])
  })
})

test('close() rejects the loop with ERR_CLOSED and closes the source', async () => {
  const own = await load()
  const { log, iterable } = watched([...images, ...images])
  const results: SegmentResult[] = []
  const loop = async () => {
    for await (const result of own.segmentAll(iterable, classes)) {
      results.push(result)
      if (results.length === 2) await own.close()
    }
  }
  await rejects(loop(), 'ERR_CLOSED')
  assert.equal(widths(results.slice(0, 2)), [40, 48])
  assert.ok(results.length <= 5)
  assert.is(log.returned, 1)
})

test.run()
