// A worker in this process: which runs it refuses and why, how it finds a model, and how it ends.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { test as always } from 'uvu'
import * as assert from 'uvu/assert'
import { enqueue } from '../../cli/src/queue/enqueue.js'
import { putRun, type RunInfo } from '../../cli/src/queue/runs.js'
import { status } from '../../cli/src/queue/status.js'
import { folderId } from '../../cli/src/results/folder_id.js'
import { claimFolder, type Manifest } from '../../cli/src/results/manifest.js'
import { refusal, workerId } from '../../cli/src/worker/engine.js'
import { Models } from '../../cli/src/worker/models.js'
import { worker } from '../../cli/src/worker/run.js'
import { type LoadOptions, Segmenter } from '../../ts/index.js'
import { packageVersion } from '../../ts/support/index.js'
import { testIf } from '../test_if.js'
import { modelPath, otherModelPath } from '../unit/support.js'
import { until } from './program.js'
import { complained, filling, keys, never, place, prepare, redis, runInfo, said } from './queue_support.js'
import { lacksRedis } from './support.js'

const test = testIf(!lacksRedis, lacksRedis ?? '')
prepare(always)

const settings = {
  set: 'folder',
  model: 'f',
  precision: 'float32',
  maxSide: '640',
  classes: [{ name: 'cat' }],
} as unknown as RunInfo['settings']
const version = packageVersion()

/** A folder of results below the place, and the run that belongs to it. */
function runWithFolder(id: string, more: Partial<RunInfo> = {}): RunInfo {
  const out = place.path('root', id)
  const manifest: Manifest = { format: 1, version, model: '/m.pt', source: {}, settings }
  mkdirSync(out, { recursive: true })
  claimFolder(out, manifest, false, () => undefined)
  return runInfo(id, {
    ...{ version, settings, folderId: folderId(out), out: `/shown/${id}` },
    exchange: { kind: 'folder', root: '/producer', out: id },
    ...more,
  })
}

test('a run is refused for its version, its folder and its settings, with the remedy', () => {
  const root = place.path('root')
  const run = runWithFolder('good')
  const out = join(root, 'good')
  assert.is(refusal(run, root), undefined)
  assert.is(
    refusal({ ...run, version: '0.1.0' }, root),
    `it was begun by clip-es 0.1.0, and this is ${version}; install the same version on every machine`,
  )
  const rest = `name with --root the folder that is /producer on the producer's machine`
  assert.is(refusal(run, place.path('elsewhere')), `its folder of results is not ${place.path('elsewhere/good')} here; ${rest}`)
  assert.is(refusal({ ...run, folderId: 'x' }, root), `its folder of results is not ${out} here, but another one; ${rest}`)
  const other = `${out} holds results of other settings by now; start the producer again`
  assert.is(refusal({ ...run, settings: { ...settings, set: 'other' } }, root), other)
  assert.is(refusal({ ...run, exchange: { kind: 'http', url: 'http://x', token: 't' } }, place.path('elsewhere')), undefined)
  assert.match(
    workerId(),
    new RegExp(
      `^${hostname()
        .replace(/[^\w-]/g, '-')
        .slice(0, 40)}-${process.pid}-[0-9a-z]+$`,
    ),
  )
})

test('the model of a run is found by its fingerprint, and stays loaded for the next run that needs it', async () => {
  const folder = place.path('models')
  mkdirSync(folder)
  copyFileSync(otherModelPath, join(folder, 'b.pt'))
  copyFileSync(modelPath, join(folder, 'a.pt'))
  writeFileSync(join(folder, 'text.pt'), 'no model')
  const { load } = Segmenter
  const original: (options: LoadOptions) => Promise<Segmenter> = load.bind(Segmenter)
  const tried: unknown[] = []
  Segmenter.load = (options) => {
    const { signal: _, ...given } = options as LoadOptions
    tried.push(given)
    return original(options as LoadOptions)
  }
  const files = () => tried.splice(0).map((options) => (options as { model: string }).model.slice(folder.length + 1))
  const models = new Models({ model: [folder], threads: 1, concurrency: 2, device: 'cpu' })
  try {
    const demo = await Segmenter.load({ model: modelPath, threads: 1 })
    const { fingerprint } = demo.model
    await demo.close()
    tried.length = 0
    const needing = (model: string, modelFile: string, more: object = {}) =>
      runInfo('r', { modelFile, settings: { ...settings, model, ...more } as RunInfo['settings'] })
    const first = await models.load(needing(fingerprint, 'b.pt'), never)
    assert.is(first.model.fingerprint, fingerprint)
    assert.equal(tried.at(-1), {
      model: join(folder, 'a.pt'),
      precision: 'float32',
      maxSide: 640,
      device: 'cpu',
      threads: 1,
      concurrency: 2,
    })
    assert.equal(files(), ['b.pt', 'a.pt'], 'the file of that name first')
    assert.is(await models.load(needing(fingerprint, 'b.pt'), never), first)
    const second = await models.load(needing(fingerprint, 'a.pt', { maxSide: '320' }), never)
    assert.is.not(second, first)
    assert.equal(files(), ['a.pt'])
    assert.is(await first.encodeClasses(['x']).catch(({ code }) => code), 'ERR_CLOSED')
    const missing = await models.load(needing('0'.repeat(16), 'x.pt'), never).catch(({ message }: Error) => message)
    assert.match(missing as string, /^it needs the model x\.pt \(0{16}\), which is not among those of --model: .*text\.pt.*$/)
    assert.equal(files(), ['text.pt'], 'fingerprints are remembered')
    assert.is(await second.encodeClasses(['x']).catch(({ code }) => code), 'ERR_CLOSED')
    const signal = AbortSignal.abort(new Error('stopped'))
    assert.is(await models.load(needing(fingerprint, 'a.pt'), signal).catch(({ message }) => message), 'stopped')
    const fresh = new Models({ model: [join(folder, 'b.pt')], threads: 1 })
    assert.match(
      String(await fresh.load(needing(fingerprint, 'a.pt'), never).catch(({ message }) => message)),
      new RegExp(
        `^it needs the model a\\.pt \\(${fingerprint}\\), which is not among those of --model: ${folder}/b\\.pt is [0-9a-f]{16}$`,
      ),
    )
  } finally {
    Segmenter.load = load
    await models.close()
  }
})

test('a worker says once why it refuses a run, removes those that are over, and ends when there has been no work', async () => {
  const bad = runWithFolder('bad', { version: '0.1.0' })
  const over = runWithFolder('over')
  const kept = runWithFolder('kept')
  await enqueue(bad, filling('bad'))
  await putRun(redis, keys, over)
  await putRun(redis, keys, kept)
  await redis.set(keys.producer('kept'), 'somebody')
  await redis.hset(keys.runs, 'old', '{"format":2}')
  const alone = runInfo('served', { version, settings, exchange: { kind: 'http', url: 'http://127.0.0.1:1', token: 't' } })
  await putRun(redis, keys, alone)
  await redis.hset('clip-es:parts:served:none', 'x', '1')
  const options = {
    url: place.url,
    name: keys.name,
    root: place.path('root'),
    model: [],
    stalledAfter: 5,
    untilDone: true,
    threads: 1,
  }
  const start = performance.now()
  const running = worker(options)
  await until('it is there', async () => (await status(redis, keys)).workers[0]?.refused.length === 0)
  await until('it has said it', () => complained.length >= 2)
  assert.is(await running, true)
  const seconds = (performance.now() - start) / 1000
  assert.ok(seconds > 3.5 && seconds < 60, `${seconds} s`)
  const [said1, ...more] = said
  assert.match(
    said1 as string,
    new RegExp(`^worker \\S+-${process.pid}-\\w+ looks for photos in the queue 'parts' at ${place.url}$`),
  )
  assert.equal(more, [])
  assert.equal(complained.sort(), [
    'clip-es: run old cannot be read: its format is 2; this version reads format 1',
    `clip-es: the run bad (/shown/bad) is not for this worker: it was begun by clip-es 0.1.0, and this is ${version}; install the same version on every machine`,
  ])
  assert.equal(Object.keys(await redis.hgetall(keys.runs)).sort(), ['bad', 'kept', 'old'])
  assert.equal([await redis.smembers(keys.workers), await redis.keys('clip-es:parts:worker:*')], [[], []])
})

test('a worker serves its metrics, and a run whose model it does not have is looked at again only after a minute', async () => {
  const run = runWithFolder('modelless', { settings })
  await enqueue(run, filling('modelless'))
  const options = {
    url: place.url,
    name: keys.name,
    root: place.path('root'),
    model: [modelPath],
    stalledAfter: 5,
    untilDone: true,
    threads: 1,
  }
  const running = worker({ ...options, metrics: { host: '127.0.0.1', port: 0 } })
  await until('it has said it', () => complained.length > 0)
  assert.is(await running, true)
  assert.is(complained.length, 1)
  assert.match(
    complained[0] as string,
    /^clip-es: the run modelless \(\/shown\/modelless\) is not for this worker: it needs the model m\.pt \(f\), which is not among those of --model: \S+ is \w+$/,
  )
})

always.run()
