import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type ClassSet, ClipEsError, type ImageData, type Segmenter, type SegmentOptions } from '../../ts/index.js'
import { load, queueImages, startHuge as startHugeImage } from './one_at_a_time.js'
import { reasonOf, rejects, type Scene, withoutTimings } from './support.js'

let segmenter: Segmenter
let classes: ClassSet
let photo: Scene
let small: ImageData
let huge: ImageData

test.before(async () => {
  segmenter = await load()
  ;({ photo, small, huge } = await queueImages())
  classes = await segmenter.encodeClasses(photo.labels, { background: photo.background })
})
test.after(() => segmenter.close())

const startHuge = (own: Segmenter, options?: SegmentOptions) => startHugeImage(own, { huge, small, classes }, options)

test('close() rejects waiting jobs with ERR_CLOSED and waits for the running image, on any thread', async () => {
  const own = await load(undefined, { concurrency: 2 })
  const expected = withoutTimings(await own.segment(huge, classes))
  const settled: string[] = []
  const { running } = await startHuge(own)
  const result = running.finally(() => settled.push('running'))
  const second = Promise.allSettled([own.segment(huge, classes)]) // runs on the other thread, if it has started yet
  const waiting = [own.segment(small, classes), own.encode(small), own.encodeClasses(['cat'])]
  const closed = own.close().then(() => settled.push('closed'))
  await Promise.all(waiting.map((promise) => rejects(promise, 'ERR_CLOSED', 'was closed before this job began')))
  assert.equal(settled, [])
  assert.equal(withoutTimings(await result), expected)
  await closed
  assert.equal(settled, ['running', 'closed'])
  const [outcome] = await second
  if (outcome.status === 'fulfilled') assert.equal(withoutTimings(outcome.value), expected)
  else assert.is(outcome.reason.code, 'ERR_CLOSED')
})

test('close() does not free the memory of a segmenter that another thread uses', async () => {
  const expected = withoutTimings(await segmenter.segment(huge, classes))
  const own = await load(undefined, { concurrency: 2 })
  const settled: string[] = []
  const first = own.segment(small, classes) // on thread 0, which then closes
  const second = own.segment(huge, classes).finally(() => settled.push('huge'))
  await first
  await own.segment(small, classes) // started later than the huge image, which therefore runs
  const closed = own.close().then(() => settled.push('closed'))
  assert.equal(withoutTimings(await second), expected)
  await closed
  assert.equal(settled, ['huge', 'closed'])
})

test('close() can be called again, and every call after it rejects with ERR_CLOSED', async () => {
  const own = await load()
  const [first, second] = [own.close(), own.close()]
  await rejects(own.segment(small, classes), 'ERR_CLOSED', 'load another one')
  await Promise.all([first, second])
  await own.close()
  await own[Symbol.asyncDispose]()
  await rejects(own.segment(small, classes), 'ERR_CLOSED', 'load another one')
  await rejects(own.encode(small), 'ERR_CLOSED')
  await rejects(own.encodeClasses(['cat']), 'ERR_CLOSED')
  await rejects(own.segmentAll([small], classes).next(), 'ERR_CLOSED')
  assert.is(own.model.patch, 16)
  const reason = new Error('first')
  assert.is(await reasonOf(own.segment(small, classes, { signal: AbortSignal.abort(reason) })), reason)
})

test('an abort of the running image during close() settles both promises', async () => {
  const own = await load(undefined, { concurrency: 2 })
  const controller = new AbortController()
  const { running } = await startHuge(own, { signal: controller.signal })
  const closed = own.close()
  controller.abort('now')
  assert.is(await reasonOf(running), 'now')
  assert.is(await closed, undefined)
})

test('Symbol.asyncDispose closes the segmenter at the end of a block with await using', async () => {
  let outer: Segmenter
  {
    await using inner = await load()
    outer = inner
    assert.is((await inner.segment(small, classes)).width, 64)
  }
  await rejects(outer.segment(small, classes), 'ERR_CLOSED')
})

test('every promise settles with a result, the reason of its signal, or an error code', async () => {
  for (let round = 0; round < 6; round++) {
    const own = await load(undefined, { maxQueue: 12 })
    const encoded = await own.encode(small)
    const calls = Array.from({ length: 30 }, (_, i) => {
      const controller = new AbortController()
      const { signal } = controller
      const started = [
        () => own.segment(photo, classes, { signal }),
        () => own.encodeClasses(['cat', 'dog'], { signal }),
        () => encoded.segment(classes, { signal }),
        () => own.encode(small, { signal }),
        () => own.segmentAll([small, small], classes, { signal }).next(),
        () => own.segment(photo, classes, { labels: 'auto', signal }),
        () => encoded.embeddings({ patches: true, signal }),
      ][(i * 5 + round) % 7]?.() as Promise<unknown>
      if (i % 3 === 0) setTimeout(() => controller.abort(new Error('aborted')), (i * 5 + round) % 11)
      return { signal, outcome: Promise.allSettled([started]) }
    })
    const closing = delay(4 * round).then(() => own.close())
    for (const { signal, outcome } of calls) {
      const [settled] = await outcome
      if (settled.status === 'fulfilled' || settled.reason === signal.reason) continue
      assert.instance(settled.reason, ClipEsError, String(settled.reason))
      assert.match(settled.reason.code, /^ERR_(CLOSED|QUEUE_FULL)$/)
    }
    await closing
  }
})

test.run()
