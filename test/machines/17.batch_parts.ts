// Batches with a real Redis and folder, and workers without an engine: limits, failures, callbacks, and what a server that is started again goes on with.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test as always } from 'uvu'
import * as assert from 'uvu/assert'
import { failedEntry, folderExchange } from '../../cli/src/dataset/photo.js'
import { consume } from '../../cli/src/queue/consume.js'
import { drain } from '../../cli/src/queue/run_life.js'
import { listRuns, occupancy, type RunInfo } from '../../cli/src/queue/runs.js'
import { Journal, photoState } from '../../cli/src/results/journal.js'
import { settingsHash } from '../../cli/src/results/manifest.js'
import { ResultStore } from '../../cli/src/results/store.js'
import { startBatches } from '../../cli/src/serve/batches/backend.js'
import { BatchRecords } from '../../cli/src/serve/batches/record.js'
import type { BatchBackend, BatchContext, BatchState, BatchTask } from '../../server/src/index.js'
import { type ClipEsError, Segmenter } from '../../ts/index.js'
import { testIf } from '../test_if.js'
import { until } from './program.js'
import { complained, keys, never, place, prepare, redis } from './queue_support.js'
import { lacksRedis } from './support.js'

const test = testIf(!lacksRedis, lacksRedis ?? '')
prepare(always)

let segmenter: Segmenter
always.before(async () => {
  if (!lacksRedis) segmenter = await Segmenter.load({ threads: 1 })
})
always.after(() => segmenter?.close())

let root = ''
let number = 0
always.before.each(() => {
  root = place.path(`root${number++}`)
  mkdirSync(root)
  for (const name of ['a', 'b', 'c']) writeFileSync(join(root, `${name}.png`), name)
})

/** What a server gives its backend, and what it was told. */
function contextOf(more: Partial<BatchContext> = {}) {
  const told: [url: string, state: BatchState][] = []
  const context: BatchContext = {
    ...{ segmenter, mostBatches: 20 },
    fetchPhoto: async (url) => {
      if (url.includes('bad')) throw new Error(`no ${url}`)
      return Buffer.from(url)
    },
    callBack: async (url, state) => void told.push([url, state]),
    ...more,
  }
  return { context, told }
}

const start = (context: BatchContext): Promise<BatchBackend> => startBatches({ url: place.url, name: keys.name, root })(context)
const task = (photos: BatchTask['photos'], more: Partial<BatchTask> = {}): BatchTask => ({
  ...{ photos, classes: { classes: [{ name: 'cat' }, { name: 'dog' }] }, options: {} },
  ...more,
})
const byPath = (...names: string[]) => names.map((name) => ({ name, path: `${name}.png` }))

/** A worker for a run, which writes a mask for every photo but one that is called c. */
function work(run: RunInfo) {
  const out = join(root, (run.exchange as { out: string }).out)
  const journal = new Journal(out, 'queue-w')
  const exchange = folderExchange({ store: new ResultStore(out, 'queue-w'), journal }, run.outputs)
  const settings = settingsHash(run.settings)
  const worker = consume({
    ...{ redis, keys, run: run.id, stalledAfter: 30_000 },
    engine: {
      window: 1,
      check: () => undefined,
      async photo([, id, path, labels = []]) {
        const item = { id, photo: join(root, path), labels }
        if (id === 'c') {
          exchange.fail(failedEntry(item, settings, 'broken'))
          return { failed: 'broken' }
        }
        await exchange.save(new Map([['mask', Buffer.from(`mask of ${id}`)]]), {
          ...item,
          ...photoState(item.photo),
          settings,
          scores: [],
        })
        return { labels, ignored: 0 }
      },
    },
  })
  return async () => {
    await worker.close()
    journal.close()
  }
}

async function runOf(count = 1): Promise<RunInfo> {
  await until('the run is there', async () => {
    const { runs } = await listRuns(redis, keys)
    const states = await Promise.all(runs.map(({ id }) => occupancy(redis, keys, id)))
    return states.filter(({ waiting }) => waiting > 0).length === count
  })
  return (await listRuns(redis, keys)).runs[0] as RunInfo
}

const ended = async (backend: BatchBackend, id: string): Promise<BatchState> => {
  await until('the batch has ended', () => backend.get(id)?.ended !== undefined)
  return backend.get(id) as BatchState
}

test('a batch: its states, its masks, the photos that failed, and its callback', async () => {
  const { context, told } = contextOf()
  const backend = await start(context)
  const photos = [...byPath('b', 'c', 'a'), { name: 'd', url: 'http://good' }, { name: 'e', url: 'http://bad' }]
  const first = await backend.add(task(photos, { callback: 'http://done', options: { labels: ['dog'] } }), never)
  const { id, created, folder, ...rest } = first
  assert.equal(rest, { state: 'waiting', photos: 5, done: 0, failed: 0, failures: [] })
  assert.is(folder, `clip-es-batches/${id}`)
  assert.ok(Math.abs(Date.parse(created) - Date.now()) < 60_000)
  const run = await runOf()
  assert.equal([run.photos, run.already, run.exchange], [4, 0, { kind: 'folder', root, out: folder }])
  const failure = { photo: 'e', message: 'no http://bad' }
  assert.equal(backend.get(id), { ...first, state: 'running', failed: 1, failures: [failure] })
  assert.is(backend.mask(id, 'a'), undefined)
  const close = work(run)
  const { ended: at = '', ...state } = await ended(backend, id)
  assert.equal(state, { ...first, state: 'done', done: 3, failed: 2, failures: [failure, { photo: 'c', message: 'broken' }] })
  assert.ok(Date.parse(at) >= Date.parse(created))
  assert.is(readFileSync(backend.mask(id, 'd') as string, 'utf8'), 'mask of d')
  assert.is(readFileSync(join(root, folder, 'photos/d'), 'utf8'), 'http://good')
  assert.is(backend.mask(id, 'c'), undefined)
  await until('the callback is told', () => told.length === 1)
  assert.equal(told, [['http://done', { ...state, ended: at }]])
  const record = new BatchRecords(root)
  await until('it is written', () => record.read(id)?.told === true)
  assert.equal(record.read(id)?.labels, [1])
  assert.equal(await redis.keys('clip-es:parts:runs'), [], 'failed photos of a batch are not kept in the queue')
  await close()
  assert.is(backend.get('none'), undefined)
  assert.is(await backend.remove('none'), false)
  assert.is(await backend.remove(id), true)
  assert.equal([existsSync(join(root, folder)), backend.get(id)], [false, undefined])
  await backend.close()
})

test('of many failures the first 100 are told, and all are counted', async () => {
  const { context } = contextOf()
  const backend = await start(context)
  const photos = Array.from({ length: 101 }, (_, i) => ({ name: `p${i}`, url: `http://bad/${i}` }))
  const { id } = await backend.add(task(photos), never)
  const { state, done, failed, failures, message } = await ended(backend, id)
  assert.equal([state, done, failed, failures.length, message], ['done', 0, 101, 100, undefined])
  assert.equal(failures[0], { photo: 'p0', message: 'no http://bad/0' })
  await backend.close()
})

test('a batch whose queue is drained has failed, and so has one that cannot be worked on', async () => {
  const { context } = contextOf()
  const backend = await start(context)
  const { id } = await backend.add(task(byPath('a', 'b')), never)
  const run = await runOf()
  await drain(redis, keys, run.id)
  const now = performance.now.bind(performance)
  performance.now = () => now() + 6000 // jobs that are gone are looked for every five seconds
  const drained = await ended(backend, id)
  performance.now = now
  const message = 'an operator drained the queue when 2 photos were left; send them again'
  assert.equal([drained.state, drained.message, drained.done], ['failed', message, 0])
  await backend.close()
})

test('wrong photos, labels and names are refused before anything is kept, and so is one batch too many', async () => {
  const { context } = contextOf({ mostBatches: 1 })
  const backend = await start(context)
  const refusal = async (given: BatchTask) => {
    const thrown = (await backend.add(given, never).catch((reason: unknown) => reason)) as ClipEsError
    return `${thrown.code ?? ''} ${thrown.message}`
  }
  assert.match(await refusal(task(byPath('none'))), /^ERR_INVALID_ARG there is no photo 'none\.png' in the folder/)
  assert.match(await refusal(task([{ name: 'a', path: 'a.png', labels: ['cow'] }])), /no class named 'cow'/)
  assert.match(
    await refusal(task([{ name: '../a', path: 'a.png' }])),
    /^ERR_INVALID_ARG its name points outside the results folder/,
  )
  assert.match(await refusal(task(byPath('a'), { options: { boxThreshold: 7 } })), /boxThreshold is 7/)
  assert.equal(new BatchRecords(root).all(), [])
  const { id } = await backend.add(task(byPath('a')), never)
  assert.is(await refusal(task(byPath('b'))), 'ERR_QUEUE_FULL 1 batches have not ended, which is the limit; send it again later')
  await runOf()
  assert.is(await backend.remove(id), true)
  assert.equal(await redis.keys('clip-es:parts:runs'), [])
  const next = await backend.add(task(byPath('b')), never)
  assert.is(next.state, 'waiting')
  await backend.close()
  assert.equal(complained, [])
})

test('a callback that cannot be sent is told in the state, and not tried again', async () => {
  const callBack = async () => {
    throw new Error('no answer')
  }
  const backend = await start(contextOf({ callBack }).context)
  const { id } = await backend.add(task([{ name: 'x', url: 'http://bad' }], { callback: 'http://done' }), never)
  await until('it was tried', () => new BatchRecords(root).read(id)?.told === true)
  const state = backend.get(id) as BatchState
  assert.equal([state.state, state.message], ['done', 'the callback could not be sent: no answer'])
  await backend.close()
})

test('a server that is started again goes on with what has not ended, and with callbacks that were not told', async () => {
  const stopped = await start(contextOf().context)
  const { id } = await stopped.add(task(byPath('a')), never)
  await runOf()
  await stopped.close()
  const records = new BatchRecords(root)
  const record = records.read(id)
  assert.equal([record?.state.state, record?.state.ended, record?.told], ['waiting', undefined, undefined])
  const other = (name: string, more: object) => {
    const state = {
      ...(record as { state: BatchState }).state,
      id: `${name.repeat(8)}${id.slice(8)}`,
      state: 'done' as const,
      ended: 'then',
    }
    records.write({ ...(record as never as object), state, ...more } as never)
    return state
  }
  const untold = other('a', { callback: 'http://untold' })
  other('b', { callback: 'http://told', told: true })
  other('c', {})
  const { context, told } = contextOf()
  const backend = await start(context)
  await until('it is told', () => told.length > 0)
  const close = work(await runOf())
  const { state, done } = await ended(backend, id)
  assert.equal([state, done, told], ['done', 1, [['http://untold', untold]]])
  assert.is(records.read(untold.id)?.told, true)
  await close()
  await backend.close()
})

test('eight batches are followed at the same time, the ninth waits for a place', async () => {
  const backend = await start(contextOf().context)
  const states: BatchState[] = []
  for (let i = 0; i < 9; i++) states.push(await backend.add(task(byPath('a')), never))
  await runOf(8)
  const waiting = () => states.filter(({ id }) => backend.get(id)?.state === 'waiting')
  assert.equal(waiting(), [states[8]])
  await backend.remove((states[0] as BatchState).id)
  await until('it has a place', () => waiting().length === 0)
  await backend.close()
})

always.run()
