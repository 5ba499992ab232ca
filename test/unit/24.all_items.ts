// The items of segmentAll(), and when jobs wait, are refused or end, with stand-ins for the model and for native code.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { unlessAborted, whenAborted } from '../../ts/core/abort.js'
import { ClipEsError, invalid } from '../../ts/core/errors.js'
import type { SegmentAllOptions, SegmentItem, SegmentResult } from '../../ts/core/segment_types.js'
import { Jobs } from '../../ts/engine/jobs.js'
import { planItems, resultsInOrder, segmentItem } from '../../ts/segment/segment_all.js'
import { reasonOf, refusal, rejects } from './support.js'

const soon = () => new Promise((done) => setImmediate(done))
const image = { data: new Uint8Array(1), width: 1, height: 1 }
const result = { width: 1 } as SegmentResult
const { signal } = new AbortController()

// ---------------------------------------------------------------- options and items
test('the options of segmentAll() are those of segment() and onError', () => {
  const plan = (options?: object) => planItems(options as SegmentAllOptions)
  assert.equal(plan(), { onError: 'throw', options: {} })
  assert.equal(plan({ onError: 'yield', flip: true, output: {} }), { onError: 'yield', options: { flip: true, output: {} } })
  for (const [options, message] of [
    [{ onError: 'skip' }, "unknown onError 'skip'; known: throw, yield"],
    [{ onError: 1 }, "onError is 1; expected 'throw' or 'yield'"],
    [{ output: { mask: new Uint8Array(1) } }, 'output cannot be filled by more than one image; use segment()'],
    [{ output: { x: 1 } }, "output: unknown option 'x'; known: mask, confidence, cams"],
    [
      { onEror: 'yield' },
      "unknown option 'onEror'; did you mean 'onError'? known: labels, labelThreshold, maps, scales, flip, refine, boxThreshold, minScore, backgroundPower, backgroundBelow, crf, ignoreBelow, …",
    ],
  ] as const)
    assert.is(
      refusal(() => plan(options)),
      `segmentAll(): ${message}`,
    )
})

/** What segment() is given for an item, and what comes of it. */
async function segmented(item: unknown, options: object = {}, segment: () => Promise<SegmentResult> = async () => result) {
  const asked: unknown[][] = []
  const plan = planItems(options as SegmentAllOptions)
  const outcome = await segmentItem(item as SegmentItem, 3, signal, plan, (...args) => {
    asked.push(args)
    return segment()
  })
  return { asked, outcome }
}

test('an item is an image, or an image with its labels and its key', async () => {
  const options = (labels?: unknown, labelThreshold?: number) => ({ flip: true, labels, labelThreshold, signal })
  for (const [item, common, given, key] of [
    [image, {}, options(), 3],
    [{ image }, {}, options(), 3],
    [{ image, key: 'k' }, {}, options(), 'k'],
    [{ image, labels: ['cat'] }, { labels: ['dog'] }, options(['cat']), 3],
    [{ image, key: null }, { labels: ['dog'] }, options(['dog']), null],
    [image, { labels: 'auto', labelThreshold: 0.5 }, options('auto', 0.5), 3],
    [{ image, labels: 'auto' }, { labelThreshold: 0.5 }, options('auto', 0.5), 3],
    [{ image, labels: ['cat'] }, { labels: 'auto', labelThreshold: 0.5 }, options(['cat']), 3],
  ] as const) {
    const { asked, outcome } = await segmented(item, { flip: true, ...common })
    assert.equal(asked, [[image, given]])
    assert.equal(outcome, { key, width: 1 })
  }
})

test('what is not an object is given to segment(), which refuses it', async () => {
  for (const item of [null, undefined, 'photo.jpg']) assert.is((await segmented(item)).asked[0]?.[0], item)
})

test('an item that fails is thrown, or is a result with its key; what would make all others fail is always thrown', async () => {
  const error = invalid('no')
  const failing = () => Promise.reject(error)
  assert.is(await reasonOf(segmented({ image, key: 'k' }, {}, failing)), error)
  const { outcome } = await segmented({ image, key: 'k' }, { onError: 'yield' }, failing)
  assert.equal(outcome, { key: 'k', error })
  for (const fatal of [new ClipEsError('ERR_CLOSED', 'closed'), new Error('other')])
    assert.is(await reasonOf(segmented(image, { onError: 'yield' }, () => Promise.reject(fatal))), fatal)
  const plan = planItems({ onError: 'yield' })
  assert.is(await reasonOf(segmentItem(image, 0, AbortSignal.abort(), plan, failing)), error)
  const { outcome: wrong } = await segmented({ image, labls: [] }, { onError: 'yield' })
  assert.is(
    (wrong as { error: Error }).error.message,
    "segmentAll(): items[3]: unknown option 'labls'; did you mean 'labels'? known: image, labels, key",
  )
  assert.is((wrong as { key: unknown }).key, 3)
})

// ---------------------------------------------------------------- results in order
/** A source that writes down what becomes of it. */
function source(count: number, next: (i: number) => Promise<IteratorResult<number>> | undefined = () => undefined) {
  const state = { asked: 0, returned: 0 }
  const iterator = {
    next: () => {
      const i = state.asked++
      return next(i) ?? Promise.resolve(i < count ? { value: i, done: false } : { value: undefined, done: true })
    },
    return: async () => {
      await soon()
      state.returned++
      return { value: undefined, done: true }
    },
  }
  return { state, items: { [Symbol.asyncIterator]: () => iterator } as unknown as AsyncIterable<number> }
}
const collect = async (results: AsyncIterable<unknown>, into: unknown[] = []) => {
  for await (const one of results) into.push(one)
  return into
}

test('a source is read to its end and not closed then; leaving the loop closes it and aborts the work', async () => {
  const whole = source(3)
  assert.equal(await collect(resultsInOrder(whole.items, async (item, index) => [item, index], undefined, 2)), [
    [0, 0],
    [1, 1],
    [2, 2],
  ])
  assert.equal(whole.state, { asked: 4, returned: 0 })
  assert.equal(await collect(resultsInOrder([7, 8], async (item) => item, signal, 1)), [7, 8])
  const left = source(9)
  let [begun, ended] = [0, 0]
  const work = async (item: number, _: number, both: AbortSignal) => {
    begun++
    if (item > 0) await new Promise<void>((done) => both.addEventListener('abort', () => setTimeout(done, 5)))
    else for (let turn = 0; turn < 5; turn++) await soon()
    ended++
    return item
  }
  for await (const one of resultsInOrder(left.items, work, signal, 3)) if (one === 0) break
  assert.is(left.state.returned, 1)
  assert.equal([left.state.asked, begun, ended], [3, 3, 3], 'the work in flight has ended')
})

test('no more than a window of items is held', async () => {
  const { state, items } = source(9)
  const loop = resultsInOrder(items, async (item) => item, undefined, 3)
  await loop.next()
  await soon()
  assert.ok(state.asked <= 4, String(state.asked))
  await loop.return()
})

test('a failure of the source or of the work is thrown after the results before it', async () => {
  const failure = new Error('no')
  const broken = source(9, (i) => (i === 2 ? Promise.reject(failure) : undefined))
  const results: unknown[] = []
  assert.is(
    await reasonOf(
      collect(
        resultsInOrder(broken.items, async (item) => item, signal, 4),
        results,
      ),
    ),
    failure,
  )
  assert.equal([results, broken.state], [[0, 1], { asked: 3, returned: 0 }])
  const whole = source(9)
  const work = async (item: number) => {
    if (item === 1) throw failure
    return item
  }
  assert.is(await reasonOf(collect(resultsInOrder(whole.items, work, undefined, 1))), failure)
  assert.is(whole.state.returned, 1)
})

test('an abort is seen before the source is read, while it makes an item, and while work runs', async () => {
  const early = source(1)
  assert.is(await reasonOf(collect(resultsInOrder(early.items, async (item) => item, AbortSignal.abort('early'), 1))), 'early')
  assert.equal(early.state, { asked: 0, returned: 1 })
  for (const [items, work] of [
    [source(9, () => new Promise(() => undefined)).items, async (item: number) => item],
    [
      source(1).items,
      (_: number, _index: number, both: AbortSignal) =>
        new Promise((_resolve, reject) => both.addEventListener('abort', () => reject(both.reason))),
    ],
  ] as const) {
    const controller = new AbortController()
    const loop = collect(resultsInOrder(items, work as never, controller.signal, 2))
    await soon()
    controller.abort('stop')
    assert.is(await reasonOf(loop), 'stop')
  }
})

// ---------------------------------------------------------------- jobs
/** Jobs that end when the test says so. */
function standIn() {
  const ends: (() => void)[] = []
  const ids: number[] = []
  const cancelled: number[] = []
  let closed = 0
  const native = {
    cancel: (id: number) => cancelled.push(id),
    close: async (id: number) => {
      ids.push(id)
      closed++
    },
  }
  const start = (_: unknown, id: number) => {
    ids.push(id)
    return new Promise<void>((resolve) => ends.push(resolve))
  }
  return { native, start, ends, ids, cancelled, closed: () => closed }
}

test('a full queue refuses the next job with the number of those that wait', async () => {
  const { native, start, ends, ids } = standIn()
  const jobs = new Jobs(native, 2)
  const running = [1, 2, 3].map(() => jobs.run(undefined, start))
  await rejects(
    jobs.run(undefined, start),
    'ERR_QUEUE_FULL',
    /^2 jobs wait already; await some results first, use segmentAll\(\), or raise maxQueue$/,
  )
  ends[0]?.()
  await running[0]
  running.push(jobs.run(undefined, start))
  assert.equal(ids, [1, 2, 3, 4], 'each job has a number of its own')
  for (const end of ends) end()
  await Promise.all(running)
  const own = new Jobs(native, 0, 0, 'calls wait')
  await rejects(own.run(undefined, start), 'ERR_QUEUE_FULL', /^0 calls wait$/)
})

test('no job begins after close(), which is passed on once; waiting ones are refused', async () => {
  const { native, start, ends, ids, closed } = standIn()
  const jobs = new Jobs(native, 0)
  const first = jobs.run(undefined, start)
  const waiting = jobs.run(undefined, start, 'wait')
  const closing = jobs.close()
  assert.is(jobs.close(), closing)
  await closing
  ends[0]?.()
  await first
  const message = /^the segmenter is closed; load another one$/
  await rejects(waiting, 'ERR_CLOSED', message)
  await rejects(jobs.run(undefined, start), 'ERR_CLOSED', message)
  assert.equal([ids, closed()], [[1, 2], 1])
  const cancelled = Object.assign(new Error(), { code: 'CANCELLED' })
  await rejects(
    new Jobs(native, 1).run(undefined, () => Promise.reject(cancelled)),
    'ERR_CLOSED',
    message,
  )
  await new Jobs({ cancel: () => undefined }, 1).close()
})

test('an abort cancels the job of its signal by number, and one before the job begins starts nothing', async () => {
  const { native, start, ends, ids, cancelled } = standIn()
  const jobs = new Jobs(native, 5)
  const controller = new AbortController()
  const all = [jobs.run(undefined, start), jobs.run(controller.signal, start)]
  controller.abort('stop')
  assert.equal(cancelled, [2])
  assert.is(await reasonOf(jobs.run(controller.signal, start)), 'stop')
  assert.throws(
    () => jobs.check(controller.signal),
    (reason: unknown) => reason === 'stop',
  )
  assert.is(ids.length, 2)
  for (const end of ends) end()
  await Promise.all(all)
})

test('a promise is not waited for after an abort, and no callback remains', async () => {
  assert.is(await reasonOf(unlessAborted(AbortSignal.abort('early'), Promise.resolve(1))), 'early')
  assert.is(await reasonOf(unlessAborted(AbortSignal.abort('early'), Promise.reject(new Error('late')))), 'early')
  const controller = new AbortController()
  let listeners = 0
  const { addEventListener: add, removeEventListener: remove } = controller.signal
  controller.signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++
    add.apply(controller.signal, args)
  }
  controller.signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--
    remove.apply(controller.signal, args)
  }
  assert.is(await unlessAborted(controller.signal, Promise.resolve(1)), 1)
  assert.is(await reasonOf(unlessAborted(controller.signal, Promise.reject('no'))), 'no')
  assert.is(listeners, 0)
  const forget = [whenAborted(controller.signal, () => undefined), whenAborted(controller.signal, () => undefined)]
  assert.is(listeners, 1)
  forget[0]?.()
  forget[0]?.()
  assert.is(listeners, 1)
  forget[1]?.()
  forget[1]?.()
  assert.is(listeners, 0)
})

test.run()
