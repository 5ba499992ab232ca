import { getEventListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClassSet, ImageData, Segmenter, SegmentOptions } from '../../ts/index.js'
import { load, queueImages, startHuge as startHugeImage, withSegmenter } from './one_at_a_time.js'
import { reasonOf, type Scene, withoutTimings } from './support.js'

let segmenter: Segmenter
let classes: ClassSet
let photo: Scene
let small: ImageData
let large: ImageData
let huge: ImageData

test.before(async () => {
  segmenter = await load()
  ;({ photo, small, large, huge } = await queueImages())
  classes = await segmenter.encodeClasses(photo.labels, { background: photo.background })
})
test.after(() => segmenter.close())

const startHuge = (own: Segmenter, options?: SegmentOptions) => startHugeImage(own, { huge, small, classes }, options)

test('an abort before the call rejects with its reason, and nothing is queued', async () => {
  await withSegmenter({ maxQueue: 1 }, async (own) => {
    const reason = new Error('never mind')
    const jobs = [own.segment(large, classes), own.segment(small, classes)]
    assert.is(await reasonOf(own.segment(small, classes, { signal: AbortSignal.abort(reason) })), reason)
    assert.equal(
      (await Promise.all(jobs)).map(({ width }) => width),
      [640, 64],
    )
  })
})

test('an abort of a waiting image rejects with its reason and does not affect the running one', async () => {
  const expected = withoutTimings(await segmenter.segment(large, classes))
  const settled: string[] = []
  const controller = new AbortController()
  const running = segmenter.segment(large, classes).finally(() => settled.push('running'))
  const waiting = segmenter.segment(small, classes, { signal: controller.signal }).finally(() => settled.push('waiting'))
  const behind = segmenter.segment(small, classes).finally(() => settled.push('behind'))
  const reason = { not: 'an error' }
  controller.abort(reason)
  assert.is(await reasonOf(waiting), reason)
  assert.equal(settled, ['waiting'])
  assert.equal(withoutTimings(await running), expected)
  assert.is((await behind).width, 64)
  assert.equal(settled, ['waiting', 'running', 'behind'])
})

test('an abort of the running image rejects with its reason, releases its output memory, and later results are right', async () => {
  await withSegmenter({ concurrency: 2 }, async (own) => {
    const expected = withoutTimings(await own.segment(photo, classes))
    const controller = new AbortController()
    const pixels = huge.width * huge.height
    const output = { mask: new Uint8Array(pixels), confidence: new Float32Array(pixels) }
    const { running } = await startHuge(own, { signal: controller.signal, output })
    const later = [own.segment(photo, classes), own.segment(photo, classes)]
    const reason = new Error('enough')
    controller.abort(reason)
    assert.is(await reasonOf(running), reason)
    // Native code must not write to the memory any more.
    output.mask.fill(7)
    output.confidence.fill(7)
    for (const result of await Promise.all(later)) assert.equal(withoutTimings(result), expected)
    assert.ok(output.mask.every((value) => value === 7) && output.confidence.every((value) => value === 7))
  })
})

test('one signal aborts all its jobs, running and waiting, and no others', async () => {
  const controller = new AbortController()
  const { signal } = controller
  const mine = [large, small, small].map((image) => segmenter.segment(image, classes, { signal }))
  const theirs = segmenter.segment(small, classes)
  const words = segmenter.encodeClasses(['cat'], { signal })
  const encoded = segmenter.encode(small, { signal })
  controller.abort()
  for (const reason of await Promise.all([...mine, words, encoded].map(reasonOf))) assert.is(reason, signal.reason)
  assert.is(signal.reason.name, 'AbortError')
  assert.is((await theirs).width, 64)
})

test('a call with AbortSignal.timeout() rejects with the TimeoutError', async () => {
  const running = segmenter.segment(large, classes)
  const signal = AbortSignal.timeout(1)
  const reason = await reasonOf(segmenter.segment(large, classes, { signal }))
  assert.is(reason, signal.reason)
  assert.is((reason as Error).name, 'TimeoutError')
  assert.is((await running).width, 640)
})

test('an abort after the result has no effect, and no listener is left', async () => {
  const controller = new AbortController()
  const { signal } = controller
  const warnings: Error[] = []
  const listen = (warning: Error) => warnings.push(warning)
  process.on('warning', listen)
  const results = await Promise.all(Array.from({ length: 40 }, () => segmenter.segment(small, classes, { signal })))
  assert.is(getEventListeners(signal, 'abort').length, 0)
  controller.abort()
  assert.is((await Promise.all(results)).length, 40)
  assert.is(getEventListeners(signal, 'abort').length, 0)
  await delay(1)
  process.off('warning', listen)
  assert.equal(warnings, [])
})

test.run()
