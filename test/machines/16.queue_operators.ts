// Runs of the queue with a real Redis: how they are removed, followed and shown, what an operator does, and a Redis that cannot be used.
import { test as always } from 'uvu'
import * as assert from 'uvu/assert'
import { enqueue } from '../../cli/src/queue/enqueue.js'
import { Lease } from '../../cli/src/queue/lease.js'
import { operate } from '../../cli/src/queue/operate.js'
import { connect, RedisError } from '../../cli/src/queue/redis.js'
import { clearFinished, removeOtherRuns, removeRun, removeRunsOf } from '../../cli/src/queue/run_life.js'
import { listRuns, occupancy, putRun, type RunInfo } from '../../cli/src/queue/runs.js'
import { printStatus, status } from '../../cli/src/queue/status.js'
import { settingsHash } from '../../cli/src/results/manifest.js'
import { UsageError } from '../../cli/src/shared/usage.js'
import { testIf } from '../test_if.js'
import { until } from './program.js'
import {
  complained,
  filling,
  good,
  groups,
  keys,
  listening,
  never,
  place,
  prepare,
  redis,
  runInfo,
  said,
  working,
} from './queue_support.js'
import { lacksRedis } from './support.js'

const test = testIf(!lacksRedis, lacksRedis ?? '')
prepare(always)

test('a run is removed with all of its keys, and others stay', async () => {
  const other = { set: 'other' } as RunInfo['settings']
  await enqueue(runInfo('a'), filling('a'))
  await enqueue(runInfo('b', { settings: other }), filling('b'))
  await enqueue(runInfo('c', { folderId: 'g' }), filling('c'))
  await redis.hset(keys.photos('a', 'j1'), 's0', '1')
  await redis.set(keys.drain('a'), '1')
  const runs = async () => (await listRuns(redis, keys)).runs.map(({ id }) => id)
  assert.equal(await runs(), ['a', 'b', 'c'])
  await removeOtherRuns(redis, keys, 'f', settingsHash(other))
  assert.equal(await runs(), ['b', 'c'])
  assert.equal(await redis.keys('clip-es:parts:*a:*'), [])
  assert.equal(await redis.keys('clip-es:parts:drain:*'), [])
  await removeRunsOf(redis, keys, 'f')
  assert.equal(await runs(), ['c'])
  await removeRun(redis, keys, 'c')
  assert.equal(await redis.keys('*'), [])
})

test('what an earlier producer has left is cleared: jobs that have ended, and the wish to drain', async () => {
  await putRun(redis, keys, runInfo('r'))
  const { follower } = listening('r', { groups: groups().slice(0, 1) })
  const { worker } = working('r', async () => ({ failed: 'no' }))
  await follower.run()
  await redis.set(keys.drain('r'), '1')
  await clearFinished(redis, keys, 'r')
  assert.equal(await occupancy(redis, keys, 'r'), { followed: false, waiting: 0, active: 0, failed: 0 })
  assert.equal([await redis.exists(keys.drain('r')), await redis.keys('clip-es:parts:photos:*')], [0, []])
  await Promise.all([follower.close(), worker.close()])
})

test('the lease of a run: one producer holds it, keeps it alive and gives it back', async () => {
  const [first, second] = [new Lease(redis, keys, 'r'), new Lease(redis, keys, 'r')]
  await first.take(never)
  const left = await redis.pttl(keys.producer('r'))
  assert.ok(left > 14_000 && left <= 15_000, String(left))
  assert.is((await occupancy(redis, keys, 'r')).followed, true)
  const now = performance.now.bind(performance)
  let later = 0
  performance.now = () => now() + later
  const taking = second.take(never).catch((thrown: unknown) => thrown)
  await until('it waits', () => complained.length > 0)
  later = 17_000
  const refused = await taking
  performance.now = now
  const who = /^clip-es: waits for the producer of this folder, (process \d+ on \S+), if it was killed$/.exec(
    complained[0] as string,
  )?.[1]
  assert.match(who as string, String(process.pid))
  assert.instance(refused, UsageError)
  assert.is(
    (refused as Error).message,
    `dataset: ${who} already puts the photos of this folder into the queue; wait for it, or do another part with --shard`,
  )
  assert.is(complained.length, 1)
  await second.release()
  assert.is(await redis.exists(keys.producer('r')), 1, 'it is not the holder')
  await first.release()
  assert.is(await redis.exists(keys.producer('r')), 0)
  const { setInterval } = globalThis
  const delays: unknown[] = []
  globalThis.setInterval = ((work: () => void, delay: number) => {
    delays.push(delay)
    return setInterval(work, 10)
  }) as typeof setInterval
  await first.take(never)
  globalThis.setInterval = setInterval
  await redis.pexpire(keys.producer('r'), 1000)
  await until('it is renewed', async () => (await redis.pttl(keys.producer('r'))) > 10_000)
  assert.equal([first.isLost, delays], [false, [4000]])
  await redis.set(keys.producer('r'), 'elsewhere 1 2')
  await until('it is lost', () => first.isLost)
  await first.release()
  assert.is(await redis.get(keys.producer('r')), 'elsewhere 1 2')
  const stopped = await second.take(AbortSignal.timeout(50)).catch(({ name }) => name)
  assert.is(stopped, 'TimeoutError')
})

const worker = {
  ...{ id: 'w1', host: 'h', pid: 1, version: '1.0.0', seconds: 7, done: 1, failed: 2, jobs: 3, returned: 0, refused: [] },
}

test('the status of a queue: its runs with their jobs, and the workers that are there', async () => {
  await enqueue(runInfo('r'), filling('r'))
  await redis.sadd(keys.workers, 'w1', 'gone')
  await redis.set(keys.worker('w1'), JSON.stringify(worker))
  const run = {
    ...{ id: 'r', out: '/out', version: '1.0.0', photos: 40, already: 2, followed: false, producer: 'host 1', paused: false },
    ...{ draining: false, jobs: { waiting: 2, active: 0, failed: 0 } },
  }
  assert.equal(await status(redis, keys), { runs: [run], workers: [worker] })
  assert.equal(await redis.smembers(keys.workers), ['w1'], 'others are forgotten')
  await redis.set(keys.producer('r'), 'x')
  await redis.set(keys.drain('r'), '1')
  const asked = { url: place.url, name: 'parts' }
  await operate('pause', asked)
  assert.equal((await status(redis, keys)).runs, [
    { ...run, followed: true, paused: true, draining: true, jobs: { waiting: 2, active: 0, failed: 0 } },
  ])
  said.length = 0
  await printStatus({ ...asked, json: true })
  assert.equal(
    said.map((line) => JSON.parse(line)),
    [await status(redis, keys)],
  )
  said.length = 0
  await printStatus({ ...asked, json: false })
  assert.equal(said, [
    'run r: 40 photos (2 done before), jobs: 2 wait, 0 in work, 0 failed; paused, draining; /out',
    '1 worker:',
    '  w1 (clip-es 1.0.0) waits: 1 photo done, 2 failed in 7 s',
  ])
})

test('what an operator does with all runs, or with one, is said for each', async () => {
  const asked = { url: place.url, name: 'parts' }
  const says = async (...[operation, run]: [Parameters<typeof operate>[0], string?]) => {
    said.length = 0
    await operate(operation, { ...asked, ...(run !== undefined && { run }) })
    return [...said]
  }
  assert.equal(await says('pause'), ["no run in the queue 'parts'"])
  await enqueue(runInfo('ab'), filling('ab'))
  await enqueue(runInfo('ac'), { ...filling('ac'), groups: groups().slice(0, 1) })
  assert.equal(await says('pause'), ['run ab: paused; workers finish their jobs', 'run ac: paused; workers finish their jobs'])
  assert.equal(
    (await status(redis, keys)).runs.map(({ paused }) => paused),
    [true, true],
  )
  assert.equal(await says('resume', 'ac'), ['run ac: resumed'])
  assert.equal(
    (await status(redis, keys)).runs.map(({ paused }) => paused),
    [true, false],
  )
  assert.equal(await says('retry-failed'), ['run ab: no photo has failed', 'run ac: no photo has failed'])
  const wrong = await says('drain', 'x').catch((thrown: unknown) => thrown)
  assert.instance(wrong, UsageError)
  assert.is((wrong as Error).message, "queue drain: the queue 'parts' has no run x; there are ab, ac")
  await redis.set(keys.producer('ab'), 'x')
  assert.equal(await says('drain', 'a'), ['run ab: drained: 2 waiting jobs removed', 'run ac: drained: 1 waiting job removed'])
  assert.equal(
    (await listRuns(redis, keys)).runs.map(({ id }) => id),
    ['ab'],
    'nobody follows the other',
  )
  await removeRun(redis, keys, 'ab')
  assert.match(String(await says('drain', 'x').catch(({ message }) => message)), /has no run x; there are none$/)
  await putRun(redis, keys, runInfo('f'))
  const { follower } = listening('f', { groups: groups().slice(0, 1) })
  const { worker } = working('f', async ([photo]) => (photo < 2 ? { failed: 'no' } : good))
  await follower.run()
  await Promise.all([follower.close(), worker.close()])
  assert.equal(await says('retry-failed'), ['run f: 2 failed photos will be done again'])
})

test('a Redis that cannot be used is told with the remedy, and one that may drop keys is warned of', async () => {
  const refusal = async (url: string) => {
    const thrown = await connect(url).catch((reason: unknown) => reason)
    assert.instance(thrown, RedisError)
    assert.is((thrown as RedisError).code, 'ERR_REDIS')
    return (thrown as Error).message
  }
  assert.is(
    await refusal('redis://u:secret@127.0.0.1:1/2'),
    'Redis at redis://u:***@127.0.0.1:1/2 cannot be used (connect ECONNREFUSED 127.0.0.1:1); start redis-server there, or check host and port',
  )
  assert.match(
    await refusal('redis://no-such-host.invalid'),
    /cannot be used \(.*(ENOTFOUND|EAI_AGAIN).*\); check the name of the host$/,
  )
  assert.match(
    await refusal(`${place.url}/16`),
    /\(ERR DB index is out of range\); this Redis has no database of that number; choose another one at the end of the URL$/,
  )
  await place.command('ACL', 'SETUSER', 'low', 'on', '>secret', '-@all', '+hello', '+auth')
  const low = place.url.replace('//', '//low:secret@')
  assert.match(
    await refusal(low),
    /\(NOPERM .*\); its ACL does not allow this user what is needed; docs\/machines\.md has an example$/,
  )
  assert.match(
    await refusal(low.replace('secret', 'x')),
    /\(WRONGPASS .*\); check the user and the password in the URL, or in \$CLIP_ES_REDIS_PASSWORD$/,
  )
  await place.command('ACL', 'SETUSER', 'q%', 'on', '>p@ss', '~*', '+@all', '&*')
  const encoded = await connect(place.url.replace('//', '//q%25:p%40ss@'))
  encoded.disconnect()
  const second = await connect(`${place.url}/3`)
  await second.set('here', '1')
  assert.is(await redis.exists('here'), 0)
  second.disconnect()
  assert.equal(complained, [])
  await place.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
  const warned = await connect(place.url)
  warned.disconnect()
  await place.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
  assert.equal(complained, [
    "clip-es: Redis has the maxmemory-policy 'allkeys-lru' and may drop jobs when its memory is full; set it to noeviction",
  ])
})

always.run()
