// What a queue says of its runs and workers, with stand-ins for Redis.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import type { Redis } from 'ioredis'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Ledgers } from '../../cli/src/queue/ledger.js'
import { Reports } from '../../cli/src/queue/reports.js'
import { Keys, listRuns, occupancy } from '../../cli/src/queue/runs.js'
import { type RunStatus, statusLines } from '../../cli/src/queue/status.js'
import { beat, Counts, serveMetrics } from '../../cli/src/worker/state.js'

const keys = new Keys('q')

const run: RunStatus = {
  ...{ id: 'r1', out: '/out', version: '1.0.0', photos: 5, already: 0, followed: true, producer: 'host 1' },
  ...{ paused: false, draining: false, jobs: { waiting: 3, active: 2, failed: 1 } },
}

/** Commands that a chain of Redis gets, each as one text. */
function recorder(status = 'ready', replies: [unknown, unknown][] = []) {
  const sent: string[] = []
  const chain: unknown = new Proxy(
    {},
    {
      get: (_, name: string) =>
        name === 'exec'
          ? async () => replies
          : (...words: unknown[]) => {
              sent.push([name, ...words].join(' '))
              return chain
            },
    },
  )
  return { sent, redis: { status, multi: () => chain, pipeline: () => chain } as unknown as Redis }
}

test('the state of a queue names its runs with what keeps them waiting, and its workers with what they refuse', () => {
  const worker = {
    id: 'w1',
    host: 'h',
    pid: 1,
    version: '1.0.0',
    seconds: 7,
    done: 1,
    failed: 2,
    jobs: 3,
    returned: 0,
    refused: [],
  }
  assert.equal(statusLines({ runs: [], workers: [] }, 'q'), ["no run in the queue 'q'", 'no worker'])
  const other = { ...run, id: 'r2', photos: 1, already: 4, paused: true, draining: true, followed: false, out: '/a\nb' }
  const busy = { ...worker, id: 'w\n2', run: 'r1', refused: ['run r2: no model\nx', 'run r3: other version'] }
  assert.equal(statusLines({ runs: [run, other], workers: [worker, busy] }, 'q'), [
    'run r1: 5 photos, jobs: 3 wait, 2 in work, 1 failed; /out',
    'run r2: 1 photo (4 done before), jobs: 3 wait, 2 in work, 1 failed; paused, draining, no producer follows it; /a\\nb',
    '2 workers:',
    '  w1 (clip-es 1.0.0) waits: 1 photo done, 2 failed in 7 s',
    '  w\\n2 (clip-es 1.0.0) works on r1: 1 photo done, 2 failed in 7 s',
    '    refuses: run r2: no model\\nx',
    '    refuses: run r3: other version',
  ])
  assert.is(statusLines({ runs: [run], workers: [worker] }, 'q')[1], '1 worker:')
})

test('runs are listed by their ids, and records of another format are errors', async () => {
  const record = (id: string, format = 1) => [id, JSON.stringify({ id, format })]
  const all = Object.fromEntries([record('b'), record('c', 2), record('a'), ['d', '{']])
  const redis = { hgetall: async (key: string) => (key === 'clip-es:q:runs' ? all : {}) } as unknown as Redis
  const { runs, unread } = await listRuns(redis, keys)
  assert.equal(
    runs.map(({ id }) => id),
    ['a', 'b'],
  )
  assert.is(unread.length, 2)
  assert.match(unread[0] as string, 'run c cannot be read: its format is 2; this version reads format 1')
  assert.match(unread[1] as string, /^run d cannot be read: ./)
})

test('delayed jobs of a run wait, too', async () => {
  const { redis, sent } = recorder(
    'ready',
    [1, 2, 3, 4, 5].map((n) => [null, n]),
  )
  assert.equal(await occupancy(redis, keys, 'r'), { followed: true, waiting: 6, active: 3, failed: 5 })
  assert.equal(sent, [
    'exists clip-es:q:producer:r',
    ...['llen clip-es:q:r:wait', 'llen clip-es:q:r:active', 'zcard clip-es:q:r:delayed', 'zcard clip-es:q:r:failed'],
  ])
  const gone = await occupancy(recorder('ready', [[null, 0]]).redis, keys, 'r')
  assert.equal(gone, { followed: false, waiting: 0, active: 0, failed: 0 })
})

test('the photos of a job: outcomes, how often each was begun, and failures that are forgotten', async () => {
  const deleted: string[] = []
  const redis = {
    hgetall: async () => ({ o3: '{"failed":"no"}', o12: '{"labels":[1],"ignored":0.5}', s7: '2', s3: '1' }),
    hdel: async (...words: string[]) => deleted.push(words.join(' ')),
    unlink: async (...words: string[]) => deleted.push(words.join(' ')),
  } as unknown as Redis
  const ledgers = new Ledgers(redis, keys, 'r')
  const { outcomes, lost } = await ledgers.read('j')
  assert.equal(
    [...outcomes],
    [
      [3, { failed: 'no' }],
      [12, { labels: [1], ignored: 0.5 }],
    ],
  )
  assert.equal(
    [...lost].sort(),
    [
      [3, 1],
      [7, 2],
    ].sort(),
  )
  assert.is(await ledgers.forgiveFailures('j'), 1)
  await ledgers.remove()
  await ledgers.remove('a', 'b')
  assert.equal(deleted, ['clip-es:q:photos:r:j o3 s3', 'clip-es:q:photos:r:a clip-es:q:photos:r:b'])
})

test('what is said of photos in one turn travels together, and an error of Redis reaches all', async () => {
  const { redis, sent } = recorder()
  const writer = new Ledgers(redis, keys, 'r').writer('j')
  await Promise.all([writer.end(1, { failed: 'no' }), writer.begin(2, 0), writer.begin(3, 4), writer.giveUp(5)])
  const key = 'clip-es:q:photos:r:j'
  assert.equal(sent, [
    ...[`hset ${key} o1 {"failed":"no"}`, `hdel ${key} s1`, `hset ${key} s2 1`, `hset ${key} s3 5`, `hdel ${key} s5`],
    `expire ${key} 604800`,
  ])
  await writer.begin(6, 0)
  assert.equal(sent.slice(-2), [`hset ${key} s6 1`, `expire ${key} 604800`], 'nothing is sent twice')
  const broken = new Ledgers(recorder('ready', [[new Error('read only'), null]]).redis, keys, 'r').writer('j')
  for (const work of [broken.begin(1, 0), broken.giveUp(2)])
    assert.is(await work.catch(({ message }: Error) => message), 'read only')
})

test('reports wait for others, and the end sends the rest', async () => {
  const sent: unknown[] = []
  const reports = new Reports({ updateProgress: async (report: unknown) => void sent.push(report) } as never)
  reports.add(1, { failed: 'a' })
  reports.add(2, { failed: 'b' })
  assert.equal(sent, [])
  await reports.close()
  await reports.close()
  const both = [
    [1, { failed: 'a' }],
    [2, { failed: 'b' }],
  ]
  assert.equal(sent, [both])
  reports.add(3, { failed: 'c' })
  for (let tries = 0; sent.length < 2 && tries < 1000; tries++) await new Promise((wake) => setTimeout(wake, 10))
  assert.equal(sent, [both, [[3, { failed: 'c' }]]], 'after a while without close()')
})

test('a worker counts what it does', () => {
  const counts = new Counts('w')
  counts.photo({ labels: [], ignored: 0 })
  counts.photo({ labels: [], ignored: 0 })
  counts.photo({ failed: 'no' })
  Object.assign(counts, { jobs: 4, returned: 5 })
  counts.refused.set('r2', 'no model')
  const { seconds, version, ...rest } = counts.state
  const place = { id: 'w', host: hostname(), pid: process.pid }
  assert.equal(rest, { ...place, done: 2, failed: 1, jobs: 4, returned: 5, run: undefined, refused: ['no model'] })
  assert.ok(seconds >= 0 && seconds < 60)
  assert.match(version, /^\d/)
  const lines = counts.metrics(true).split('\n')
  for (const line of [
    ...['photos_total{outcome="done"} 2', 'photos_total{outcome="failed"} 1', 'jobs_total 4', 'jobs_returned_total 5'],
    ...['runs_refused 1', 'working 0', 'redis_connected 1'],
  ])
    assert.ok(lines.includes(`clip_es_worker_${line}`), line)
  assert.ok(lines.includes('# TYPE clip_es_worker_photos_total counter') && lines.includes('# TYPE clip_es_worker_working gauge'))
  counts.run = 'r'
  assert.match(counts.metrics(false), /^clip_es_worker_working 1$/m)
  assert.match(counts.metrics(false), /^clip_es_worker_redis_connected 0$/m)
  assert.ok(Number(/^clip_es_worker_memory_bytes (\d+)$/m.exec(counts.metrics(true))?.[1]) > 1e6)
})

test('/health says whether Redis answers, and other paths are not found', async () => {
  const redis = { status: 'ready' }
  const server = await serveMetrics({ host: '127.0.0.1', port: 0 }, new Counts('w'), redis as unknown as Redis)
  const { port } = server.address() as AddressInfo
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    return `${response.status} ${await response.text()}`
  }
  assert.is(await get('/health'), '200 ok\n')
  assert.match(await get('/metrics'), /^200 # HELP [\s\S]*\nclip_es_worker_redis_connected 1\n/)
  assert.match(await get('/'), /^404 There are \/metrics and \/health/)
  redis.status = 'reconnecting'
  assert.match(await get('/health'), /^503 Redis does not answer/)
  assert.match(await get('/metrics'), /^200 [\s\S]*\nclip_es_worker_redis_connected 0\n/)
  const taken = await serveMetrics({ host: '127.0.0.1', port }, new Counts('x'), redis as unknown as Redis).catch(
    ({ code }) => code,
  )
  assert.is(taken, 'EADDRINUSE')
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
})

test('a worker says that it is there as long as it works, unless Redis is away', () => {
  const { redis, sent } = recorder()
  const counts = new Counts('w')
  beat(redis, keys, counts, 60_000)()
  const [sadd, set, ...end] = sent
  assert.is(sadd, 'sadd clip-es:q:workers w')
  assert.match(set as string, /^set clip-es:q:worker:w \{"id":"w".*\} PX 15000$/)
  assert.equal(end, ['srem clip-es:q:workers w', 'del clip-es:q:worker:w'])
  const soon = recorder()
  beat(soon.redis, keys, counts, 4000)()
  assert.match(soon.sent[1] as string, / PX 2000$/, 'forgotten before another worker takes its job')
  const away = recorder('reconnecting')
  beat(away.redis, keys, counts, 60_000)()
  assert.equal(away.sent, [])
})

test.run()
