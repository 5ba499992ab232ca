// clip-es dataset --queue in this process, with a real Redis and workers without an engine: what it prints, how it ends, and what it leaves behind.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test as always } from 'uvu'
import * as assert from 'uvu/assert'
import { findWork } from '../../cli/src/dataset/left.js'
import type { DatasetOptions } from '../../cli/src/dataset/options.js'
import type { Plan } from '../../cli/src/dataset/run.js'
import { byQueue } from '../../cli/src/queue/dataset.js'
import { servedPhoto } from '../../cli/src/queue/http_client.js'
import { drain } from '../../cli/src/queue/run_life.js'
import { listRuns, occupancy, type RunInfo, type Served } from '../../cli/src/queue/runs.js'
import { Journal, readJournal } from '../../cli/src/results/journal.js'
import { settingsHash } from '../../cli/src/results/manifest.js'
import { ResultStore } from '../../cli/src/results/store.js'
import { Stopped } from '../../cli/src/shared/stop.js'
import { PhotoList } from '../../cli/src/sources/photo_list.js'
import { packageVersion } from '../../ts/support/index.js'
import { testIf } from '../test_if.js'
import { until } from './program.js'
import { complained, keys, never, place, prepare, redis, said, working } from './queue_support.js'
import { lacksRedis } from './support.js'

const test = testIf(!lacksRedis, lacksRedis ?? '')
prepare(always)

const settings = { set: 'folder', model: 'f', classes: [{ name: 'cat' }] } as unknown as RunInfo['settings']
const plan = {
  manifest: { format: 1, version: packageVersion(), model: '/models/m.pt', source: {}, settings },
  job: { classes: { names: ['cat'] } },
  ...{ outputs: ['mask'], settings: settingsHash(settings) },
} as unknown as Plan

let root = ''
let number = 0
always.before.each(() => {
  root = place.path(`producer${number++}`)
  mkdirSync(root)
})

/** Puts photos a, b and c into the queue, as the command does. */
async function produce(
  more: Partial<DatasetOptions> = {},
  signal = never,
  failures: { id: string; message: string }[] = [],
): Promise<boolean> {
  const out = join(root, 'out')
  mkdirSync(out, { recursive: true })
  const items = new PhotoList(['a', 'b', 'c'].map((id) => ({ id, photo: join(root, `${id}.png`), labels: [0] })))
  for (const name of ['a', 'b', 'c']) writeFileSync(join(root, `${name}.png`), name)
  const journal = new Journal(out, '1-of-1')
  const store = new ResultStore(out, '1-of-1')
  try {
    const work = await findWork(plan, { items, failures, notes: ['a note'] }, store, { out, overwrite: false })
    const options = { out, root, name: keys.name, queue: place.url, json: false, ...more } as DatasetOptions
    return await byQueue(plan, work, { store, journal }, options, signal)
  } finally {
    journal.close()
    items.close()
  }
}

async function runInQueue(): Promise<RunInfo> {
  await until('the run is there', async () => {
    const { runs } = await listRuns(redis, keys)
    return runs[0] !== undefined && (await occupancy(redis, keys, runs[0].id)).waiting > 0
  })
  return (await listRuns(redis, keys)).runs[0] as RunInfo
}

test('with --detach it fills the queue, says so and ends; failures of the annotations are told', async () => {
  assert.is(await produce({ detach: true }), true)
  const { id, ...info } = await runInQueue()
  assert.equal(
    { ...info, producer: '', folderId: '' },
    {
      ...{ format: 1, version: packageVersion(), settings, outputs: ['mask'], modelFile: 'm.pt', photos: 3, already: 0 },
      ...{ producer: '', out: join(root, 'out'), folderId: '', exchange: { kind: 'folder', root, out: 'out' } },
    },
  )
  assert.match(info.producer, new RegExp(` ${process.pid}$`))
  assert.ok(said.includes('a note'))
  assert.is(said.at(-1), `3 photos in 1 job in the queue; clip-es queue status ${place.url} tells how far they are`)
  assert.is(await redis.exists(keys.producer(id)), 0)
  said.length = 0
  assert.is(await produce({ detach: true, json: true }, never, [{ id: 'x', message: 'no photo' }]), false)
  const events = said.map((line) => JSON.parse(line))
  assert.equal(events.at(-1), { event: 'queued', photos: 3, jobs: 1, already: 0, run: id })
  assert.ok(JSON.stringify([events, complained]).includes('no photo'))
})

test('photos that workers call done, and that have no result, are told with the reason', async () => {
  const producing = produce()
  const run = await runInQueue()
  assert.is(await redis.exists(keys.producer(run.id)), 1)
  const { worker } = working(run.id, async () => ({ labels: [0], ignored: 0 }))
  assert.is(await producing, false)
  const told = [...said, ...complained].filter((line) => line.includes('check that every worker'))
  assert.equal(
    told,
    ['a', 'b', 'c'].map(
      (id) =>
        `clip-es: ${id}: a worker says that it is done, but its result is not in ${join(root, 'out')}; check that every worker's --root is the same folder`,
    ),
  )
  assert.equal((await listRuns(redis, keys)).runs, [])
  await worker.close()
})

test('failed photos stay in the queue, and the leftovers of workers that are gone are removed', async () => {
  const producing = produce()
  const run = await runInQueue()
  const out = join(root, 'out')
  for (const worker of ['here', 'gone']) {
    mkdirSync(join(out, `.partial-queue-${worker}`))
    await redis.sadd(keys.workers, worker)
  }
  await redis.set(keys.worker('here'), '{}')
  const { worker } = working(run.id, async () => ({ failed: 'broken' }))
  assert.is(await producing, false)
  assert.equal((await occupancy(redis, keys, run.id)).failed, 1)
  assert.ok(complained.concat(said).some((line) => line.includes('clip-es: b: broken')))
  assert.equal(
    readdirSync(out).filter((name) => name.startsWith('.partial-queue')),
    ['.partial-queue-here'],
  )
  await worker.close()
})

test('a drained run and a stop say how to go on', async () => {
  const producing = produce({ json: true })
  const run = await runInQueue()
  await drain(redis, keys, run.id)
  const now = performance.now.bind(performance)
  performance.now = () => now() + 6000 // jobs that are gone are looked for every five seconds
  const good = await producing
  performance.now = now
  const events = said.map((line) => JSON.parse(line))
  assert.ok(
    events.some(({ event, left }) => event === 'drained' && left === 3),
    said.join('\n'),
  )
  assert.is(good, false)
  const stop = new AbortController()
  const stopping = produce({}, stop.signal).catch((reason: unknown) => reason)
  await runInQueue()
  stop.abort(new Stopped('interrupted', 130))
  const reason = (await stopping) as Stopped
  assert.instance(reason, Stopped)
  assert.equal(
    [reason.status, reason.message],
    [
      130,
      `interrupted; 0 of 3 photos done; results are in ${join(root, 'out')}; workers go on with what is in the queue: run the same command to follow them`,
    ],
  )
  const other = new Error('no Redis')
  assert.is(await produce({}, AbortSignal.abort(other)).catch((thrown: unknown) => thrown), other)
})

test('served photos go by HTTP, their results and failures into the journal, and nothing stays in the queue', async () => {
  const producing = produce({ servePhotos: { host: '127.0.0.1', port: 0 } })
  const run = await runInQueue()
  const exchange = run.exchange as Served
  assert.equal([exchange.kind, exchange.url.startsWith('http://127.0.0.1:'), exchange.token.length], ['http', true, 64])
  const { worker } = working(run.id, async ([photo, id], job) => {
    if (id === 'b') return { failed: 'broken' }
    const served = servedPhoto(exchange, job, photo)
    await served.read({ id, photo: id }).catch(() => undefined) // it is no picture
    const entry = { id, photo: id, labels: [0], scores: [1], bytes: 0, modified: 0, settings: plan.settings }
    await served.save(new Map([['mask', Buffer.from('mask')]]), entry)
    return { labels: [0], ignored: 0 }
  })
  assert.is(await producing, false)
  const journal = readJournal(join(root, 'out'))
  assert.equal([...journal.keys()].sort(), ['a', 'b', 'c'])
  assert.equal([journal.get('b')?.failed, journal.get('a')?.photo], ['broken', join(root, 'a.png')])
  assert.equal([existsSync(join(root, 'out/masks/c.png')), (await listRuns(redis, keys)).runs], [true, []])
  await worker.close()
})

always.run()
