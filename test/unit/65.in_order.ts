// Work on several items at a time.
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { forEachInOrder, inOrder } from '../../ts/core/in_order.js'

const soon = () => new Promise((done) => setImmediate(done))
const noSignal = new AbortController().signal

/** Work that ends when the test says so, with what it has begun. */
function gate() {
  const begun: number[] = []
  const ends = new Map<number, { resolve: () => void; reject: (error: unknown) => void }>()
  const work = (item: number) =>
    new Promise<void>((resolve, reject) => {
      begun.push(item)
      ends.set(item, { resolve, reject })
    })
  return {
    begun,
    work,
    end: (item: number) => ends.get(item)?.resolve(),
    fail: (item: number, error: unknown) => ends.get(item)?.reject(error),
  }
}

/** What became of a promise so far. */
function watch(promise: Promise<void>): { state: string; reason?: unknown } {
  const watched: { state: string; reason?: unknown } = { state: 'pending' }
  promise.then(
    () => Object.assign(watched, { state: 'done' }),
    (reason: unknown) => Object.assign(watched, { state: 'failed', reason }),
  )
  return watched
}

test('each item is processed once, in order, with at most a window of items at a time', async () => {
  const { begun, work, end } = gate()
  const all = watch(forEachInOrder([1, 2, 3, 4, 5], 2, noSignal, work))
  await soon()
  assert.equal(begun, [1, 2])
  end(1)
  await soon()
  assert.equal(begun, [1, 2, 3])
  for (const item of [2, 3, 4, 5]) {
    end(item)
    await soon()
  }
  assert.equal(begun, [1, 2, 3, 4, 5])
  assert.is(all.state, 'done')
  await forEachInOrder([], 3, noSignal, work)
})

test('after a failure no item starts, and running items end before the failure is thrown', async () => {
  const { begun, work, end, fail } = gate()
  const all = watch(forEachInOrder([1, 2, 3, 4, 5], 3, noSignal, work))
  await soon()
  fail(2, 'broken')
  await soon()
  assert.equal(begun, [1, 2, 3])
  assert.is(all.state, 'pending', 'two items are still in work')
  end(1)
  await soon()
  assert.equal(begun, [1, 2, 3], 'the free place is not taken')
  assert.is(all.state, 'pending')
  end(3)
  await soon()
  assert.equal(all, { state: 'failed', reason: 'broken' })
})

test('after an abort no item starts, and its reason is thrown after running items ended', async () => {
  const { begun, work, end, fail } = gate()
  const controller = new AbortController()
  const all = watch(forEachInOrder([1, 2, 3, 4], 2, controller.signal, work))
  await soon()
  controller.abort('stop')
  fail(1, 'failed because it was stopped')
  await soon()
  assert.is(all.state, 'pending')
  end(2)
  await soon()
  assert.equal(begun, [1, 2])
  assert.equal(all, { state: 'failed', reason: 'stop' })
})

test('work that is aborted before it starts takes no item', async () => {
  const { begun, work } = gate()
  const all = watch(forEachInOrder([1], 1, AbortSignal.abort('early'), work))
  await soon()
  assert.equal(begun, [])
  assert.equal(all, { state: 'failed', reason: 'early' })
})

test('results come in the order of the items, with at most a window of items at a time', async () => {
  let [inWork, most] = [0, 0]
  const results: number[] = []
  const work = async (i: number) => {
    most = Math.max(most, ++inWork)
    await sleep(i % 3 ? 1 : 15)
    inWork--
    return i
  }
  for await (const i of inOrder([0, 1, 2, 3, 4, 5, 6, 7], 3, noSignal, work)) results.push(i)
  assert.equal(results, [0, 1, 2, 3, 4, 5, 6, 7])
  assert.is(most, 3)
})

test('a failure is thrown after the results before it, and no item is left running', async () => {
  let inWork = 0
  const results: number[] = []
  const work = async (i: number) => {
    inWork++
    await sleep(i === 2 ? 1 : 10)
    inWork--
    if (i === 2) throw new Error('two')
    return i
  }
  const run = async () => {
    for await (const i of inOrder([0, 1, 2, 3, 4, 5], 3, noSignal, work)) results.push(i)
  }
  const error = await run().catch((reason: Error) => reason.message)
  assert.is(error, 'two')
  assert.equal(results, [0, 1])
  assert.is(inWork, 0)
})

test('break waits for running items', async () => {
  let inWork = 0
  const work = async (i: number) => {
    inWork++
    await sleep(5)
    inWork--
    return i
  }
  for await (const i of inOrder([0, 1, 2, 3, 4, 5], 4, noSignal, work)) if (i === 1) break
  assert.is(inWork, 0)
})

test.run()
