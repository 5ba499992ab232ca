// Jobs of the queue with a real Redis, workers without an engine and producers in this process.
import { Queue } from 'bullmq'
import { test as always } from 'uvu'
import * as assert from 'uvu/assert'
import { mostLosses } from '../../cli/src/queue/consume.js'
import { enqueue } from '../../cli/src/queue/enqueue.js'
import { QueueLost } from '../../cli/src/queue/follow.js'
import type { JobPhoto } from '../../cli/src/queue/jobs.js'
import { Ledgers } from '../../cli/src/queue/ledger.js'
import { drain, retryFailed } from '../../cli/src/queue/run_life.js'
import { hasRun, occupancy, putRun } from '../../cli/src/queue/runs.js'
import { testIf } from '../test_if.js'
import { sleep, until } from './program.js'
import { filling, good, groups, items, keys, listening, prepare, redis, runInfo, working } from './queue_support.js'
import { lacksRedis } from './support.js'

const test = testIf(!lacksRedis, lacksRedis ?? '')
prepare(always)

test('a run from its beginning to its end: each photo is told once, and nothing of a done job is left', async () => {
  await putRun(redis, keys, runInfo('r'))
  const { follower, ended, again } = listening('r')
  let [inside, most] = [0, 0]
  const { told, worker } = working('r', async ([, id]) => {
    most = Math.max(most, ++inside)
    await sleep(0.002)
    inside--
    return id === 'p3' ? { failed: 'broken' } : good
  })
  assert.is(await follower.run(), true)
  assert.equal(
    ended.map(([number]) => number).sort((a, b) => a - b),
    items.map((_, i) => i),
  )
  for (const [number, id, outcome] of ended)
    assert.equal([id, outcome], [`p${number}`, number === 3 ? { failed: 'broken' } : good])
  assert.equal([again, told.photos, told.checks, told.problems, most], [[], 40, 2, [], 4])
  assert.equal(await occupancy(redis, keys, 'r'), { followed: false, waiting: 0, active: 0, failed: 1 })
  await until('the job has ended', () => told.jobs === 1)
  const [left, ...others] = await redis.keys('clip-es:parts:photos:*')
  assert.equal(others, [], 'only the failed job has a record of its photos')
  const queue = new Queue('r', { connection: redis, prefix: keys.prefix })
  const [failed] = await queue.getFailed()
  assert.is(failed?.failedReason, '1 photo of 20 failed')
  assert.is(left, `clip-es:parts:photos:r:${failed?.id}`)
  await queue.close()
  await follower.close()
  await worker.close()
})

test('a photo that has failed is told again when it is done again, and only it is done', async () => {
  await putRun(redis, keys, runInfo('r'))
  const { follower, ended, again } = listening('r')
  let broken = true
  let release = () => {}
  const held = new Promise<void>((wake) => {
    release = wake
  })
  const done: string[] = []
  const { worker } = working('r', async ([, id]) => {
    if (id === 'p39') await held
    done.push(id)
    return id === 'p3' && broken ? { failed: 'broken' } : good
  })
  const following = follower.run()
  await until('all but one have ended', () => ended.length === 39)
  await until('the job has failed', async () => (await occupancy(redis, keys, 'r')).failed === 1)
  await sleep(1.5) // the producer looks once a second
  const [, second] = groups()
  const last = (await redis.keys('clip-es:parts:r:j*')).map((key) => key.slice('clip-es:parts:r:'.length))
  assert.ok(last.some((job) => follower.photo(job, 19)?.id === second?.all[19]?.id))
  assert.is(follower.photo('none', 0), undefined)
  broken = false
  done.length = 0
  assert.equal(await retryFailed(redis, keys, 'r'), 1)
  await until('it is done again', () => ended.length === 40)
  assert.equal([again, done, ended.at(-1)], [[3], ['p3'], [3, 'p3', good]])
  assert.equal(await retryFailed(redis, keys, 'r'), 0)
  release()
  assert.is(await following, true)
  assert.is(ended.length, 41)
  await Promise.all([follower.close(), worker.close()])
})

test('a photo that ended three workers is put aside, one that ended fewer is done alone and first', async () => {
  assert.is(mostLosses, 3)
  assert.is(await enqueue(runInfo('r'), { ...filling('r'), groups: groups().slice(0, 1) }), 1)
  const [job] = (await redis.keys('clip-es:parts:r:j*')).map((key) => key.slice('clip-es:parts:r:'.length))
  const key = keys.photos('r', job as string)
  await redis.hset(key, { s5: 3, s6: 2, s7: 1, s8: 4, o9: JSON.stringify(good) })
  const order: string[] = []
  const alone: boolean[] = []
  let inside = 0
  const { told, worker } = working('r', async ([photo, id]: JobPhoto) => {
    order.push(id)
    inside++
    if ([6, 7].includes(photo)) {
      alone.push(inside === 1)
      assert.is(await redis.hget(key, `s${photo}`), photo === 6 ? '3' : '2', 'it is written before the photo is begun')
    }
    await sleep(0.005)
    alone.push(![6, 7].includes(photo) || inside === 1)
    inside--
    return good
  })
  await until('the job has failed', async () => (await occupancy(redis, keys, 'r')).failed === 1)
  assert.equal(order.slice(0, 2), ['p6', 'p7'])
  assert.ok(alone.every(Boolean))
  assert.equal([order.length, new Set(order).size, order.includes('p9'), told.photos], [17, 17, false, 19])
  const aside = `put aside: 3 workers ended while they worked on it; look at the photo, or try it again`
  const { outcomes, lost } = await new Ledgers(redis, keys, 'r').read(job as string)
  assert.equal(
    [outcomes.get(5), outcomes.get(8), outcomes.get(6), outcomes.size, lost.size],
    [{ failed: aside }, { failed: aside }, good, 20, 0],
  )
  assert.ok((await redis.ttl(key)) > 604_000)
  await worker.close()
})

test('a job that cannot be done here is done by another worker, and its photos are not put aside for it', async () => {
  await putRun(redis, keys, runInfo('r'))
  const { follower, ended } = listening('r', { groups: groups().slice(0, 1) })
  let failures = 0
  const { told, worker } = working('r', async ([, id]) => {
    if (id !== 'p4' || failures++ > 0) return good
    throw new Error('the disk is full')
  })
  const refusing = working('r', async () => good, {
    check: () => {
      throw new Error('another folder')
    },
  })
  assert.is(await follower.run(), true)
  assert.equal([ended.length, told.problems], [20, ['the disk is full']])
  assert.ok(refusing.told.problems.every((problem) => problem === 'another folder'))
  assert.is(refusing.told.photos, 0)
  await Promise.all([follower.close(), worker.close(), refusing.worker.close()])
})

test('jobs that nobody follows leave nothing behind, and a stop or a problem ends the filling of the queue', async () => {
  assert.is(await enqueue(runInfo('r'), filling('r')), 2)
  assert.is(await hasRun(redis, keys, 'r'), true)
  assert.equal(await occupancy(redis, keys, 'r'), { followed: false, waiting: 2, active: 0, failed: 0 })
  const { told, worker } = working('r', async () => good)
  await until('the jobs have ended', () => told.jobs === 2)
  await until('nothing is left', async () => (await redis.keys('clip-es:parts:photos:*')).length === 0)
  assert.equal(await occupancy(redis, keys, 'r'), { followed: false, waiting: 0, active: 0, failed: 0 })
  await worker.close()
  const why = (promise: Promise<unknown>) => promise.catch(({ message }: Error) => message)
  assert.is(await why(enqueue(runInfo('s'), { ...filling('r'), signal: AbortSignal.abort(new Error('stopped')) })), 'stopped')
  const check = () => {
    throw new Error('taken over')
  }
  assert.is(await why(enqueue(runInfo('s'), { ...filling('r'), check })), 'taken over')
  assert.is((await occupancy(redis, keys, 's')).waiting, 0)
})

test('following ends when an operator drains the run, when Redis has lost it, by a check and by a stop', async () => {
  await putRun(redis, keys, runInfo('r'))
  const one = listening('r', { lookAhead: 1 })
  const drained = one.follower.run()
  await until('the first job waits', async () => (await occupancy(redis, keys, 'r')).waiting === 1)
  assert.is(await drain(redis, keys, 'r'), 1)
  const now = performance.now.bind(performance)
  performance.now = () => now() + 6000 // jobs that are gone are looked for every five seconds
  try {
    assert.is(await drained, false)
  } finally {
    performance.now = now
  }
  assert.equal(one.ended, [])
  await one.follower.close()
  const lost = listening('none')
  const reason = await lost.follower.run().catch((thrown: unknown) => thrown)
  assert.instance(reason, QueueLost)
  assert.is((reason as Error).message, 'Redis has lost the queue')
  await lost.follower.close()
  await redis.del(keys.drain('r'))
  const check = () => {
    throw new Error('taken over')
  }
  const checked = listening('r', { check })
  assert.is(await checked.follower.run().catch(({ message }) => message), 'taken over')
  await checked.follower.close()
  const stopped = listening('r', { signal: AbortSignal.timeout(100) })
  assert.is(await stopped.follower.run().catch(({ name }) => name), 'TimeoutError')
  await stopped.follower.close()
})

always.run()
