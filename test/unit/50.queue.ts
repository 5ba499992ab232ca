import { getEventListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type ClassSet,
  ClipEsError,
  type ImageData,
  type LoadOptions,
  Segmenter,
  type SegmentOptions,
  type SegmentResult,
} from '../../ts/index.js'
import { crop, load as loadAny, reasonOf, rejects, type Scene, scene } from './support.js'

let segmenter: Segmenter
let classes: ClassSet
let photo: Scene
let small: ImageData
let large: ImageData // takes longer than it takes to queue others behind it
let huge: ImageData // takes much longer than a small one

/** One job runs at a time, so that the test knows which ones wait. */
const load = (path?: string, options: LoadOptions = {}) => loadAny(path, { concurrency: 1, ...options })

const withoutTimings = ({ timings, ...rest }: SegmentResult) => rest

test.before(async () => {
  segmenter = await load()
  photo = await scene('scene01')
  classes = await segmenter.encodeClasses(photo.labels, { background: photo.background })
  small = crop(photo, 64, 48)
  const grey = (width: number, height: number) => {
    const data = Uint8Array.from({ length: width * height }, (_, i) => photo.data[3 * (i % (320 * 240))] as number)
    return { data, width, height }
  }
  large = grey(640, 480)
  huge = grey(1024, 768)
})

test.after(() => segmenter.close())

/** Loads a segmenter for one test and closes it afterwards. */
async function withSegmenter(options: LoadOptions, use: (own: Segmenter) => Promise<void>): Promise<void> {
  const own = await load(undefined, options)
  try {
    await use(own)
  } finally {
    await own.close()
  }
}

/** Starts the huge image on a segmenter of concurrency 2, and resolves when it runs: jobs start in their order, and a later one has ended. */
async function startHuge(own: Segmenter, options: SegmentOptions = {}): Promise<{ running: Promise<SegmentResult> }> {
  const running = own.segment(huge, classes, options)
  running.catch(() => {}) // the test reads the reason later
  await own.segment(small, classes)
  return { running }
}

test('results come in the order of the calls, whatever their kind and duration', async () => {
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

test('an abort of the running image rejects with its reason, gives its memory back, and later results are right', async () => {
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

test('close() rejects waiting jobs with ERR_CLOSED and waits for the running image, on whichever thread it runs', async () => {
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
