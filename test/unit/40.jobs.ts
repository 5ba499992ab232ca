// The queue of jobs and their signals, with a stand-in for native code.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { whenAborted } from '../../ts/core/abort.js'
import { ClipEsError } from '../../ts/core/errors.js'
import type { SegmentResult } from '../../ts/core/segment_types.js'
import { Jobs } from '../../ts/engine/jobs.js'
import { resultsInOrder } from '../../ts/segment/segment_all.js'
import { reasonOf } from './support.js'

/** Jobs that end when the test says so, or when they are cancelled. */
function standIn() {
  const ends = new Map<number, { resolve: () => void; reject: (error: unknown) => void }>()
  const native = { cancel: (id: number) => ends.get(id)?.reject(Object.assign(new Error(), { code: 'CANCELLED' })) }
  const start = (_: unknown, id: number) => new Promise<void>((resolve, reject) => ends.set(id, { resolve, reject }))
  return { native, start, ends }
}

const soon = () => new Promise((done) => setImmediate(done))

test('a free place goes to a job that still waits, not to one that is aborted at the same time', async () => {
  const { native, start, ends } = standIn()
  const jobs = new Jobs(native, 0)
  const first = jobs.run(undefined, start)
  const leaving = new AbortController()
  const left = jobs.run(leaving.signal, start, 'wait').catch((error: unknown) => error)
  const staying = jobs.run(undefined, start, 'wait')
  await soon()
  ends.get(1)?.resolve()
  leaving.abort('left')
  await first
  await soon()
  assert.is(await left, 'left')
  assert.is(ends.size, 2, 'the other job has begun')
  ends.get(2)?.resolve()
  await staying
})

test('any number of jobs add one listener to their signal, and none remains when they are done', async () => {
  const { native, start, ends } = standIn()
  const signal = new AbortController().signal
  let [listeners, most] = [0, 0]
  const { addEventListener: add, removeEventListener: remove } = signal
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++
    most = Math.max(most, listeners)
    add.apply(signal, args)
  }
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--
    remove.apply(signal, args)
  }
  const jobs = new Jobs(native, 0, 2)
  const all = Array.from({ length: 30 }, () => jobs.run(signal, start, 'wait'))
  const one = { data: new Uint8Array(1), width: 1, height: 1 }
  const loops = Array.from({ length: 30 }, async () => {
    const result = {} as SegmentResult
    for await (const found of resultsInOrder([one, one], async () => result, signal, 2)) assert.is(found, result)
  })
  for (let id = 1; id <= 30; id++) {
    while (!ends.has(id)) await soon()
    ends.get(id)?.resolve()
  }
  await Promise.all([...all, ...loops])
  assert.is(most, 1)
  assert.is(listeners, 0)
})

test('an abort cancels all running jobs of the signal, and no others', async () => {
  const { native, start, ends } = standIn()
  const jobs = new Jobs(native, 0, 3)
  const controller = new AbortController()
  const outcome = (job: Promise<void>) =>
    job.then(
      () => 'done',
      (reason: unknown) => reason,
    )
  const mine = [jobs.run(controller.signal, start), jobs.run(controller.signal, start)].map(outcome)
  const other = outcome(jobs.run(undefined, start))
  controller.abort('stop')
  assert.equal(await Promise.all(mine), ['stop', 'stop'])
  ends.get(3)?.resolve()
  assert.is(await other, 'done')
})

test('errors of the add-on keep their code and are the cause, and other errors are reported as a bug', async () => {
  const jobs = new Jobs({ cancel: () => {} }, 1)
  const outcome = (error: unknown) => reasonOf(jobs.run(undefined, () => Promise.reject(error))) as Promise<ClipEsError>
  const known = Object.assign(new Error('memory ran out'), { code: 'ERR_OUT_OF_MEMORY' })
  const translated = await outcome(known)
  assert.instance(translated, ClipEsError)
  assert.equal([translated.code, translated.message, translated.cause], ['ERR_OUT_OF_MEMORY', 'memory ran out', known])
  const own = new ClipEsError('ERR_INVALID_ARG', 'wrong')
  assert.is(await outcome(own), own)
  const nodes = Object.assign(new TypeError('not a string'), { code: 'ERR_INVALID_ARG_TYPE' })
  for (const unexpected of [nodes, new Error('no reason'), 'text', undefined]) {
    const bug = await outcome(unexpected)
    assert.is(bug.code, 'ERR_INTERNAL')
    assert.match(
      bug.message,
      /^This is a bug in clip-es: (not a string|no reason|text|undefined); please report it with this message/,
    )
    assert.is(bug.cause, unexpected)
  }
})

test('a callback is called once, and not after it was removed, even if other callbacks throw', () => {
  const controller = new AbortController()
  const called: string[] = []
  const forgetA = whenAborted(controller.signal, () => called.push('a'))
  whenAborted(controller.signal, () => called.push('b'))
  forgetA()
  const forgetC = whenAborted(controller.signal, () => called.push('c'))
  controller.abort()
  assert.equal(called, ['b', 'c'])
  forgetC()
  const other = new AbortController()
  whenAborted(other.signal, () => called.push('d'))()
  whenAborted(other.signal, () => called.push('e'))
  other.abort()
  assert.equal(called, ['b', 'c', 'e'])
})

test.run()
