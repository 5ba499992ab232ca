// A data set by a queue: the same results as by one process.
import { mkdirSync, symlinkSync } from 'node:fs'
import { test as always } from 'uvu'
import * as assert from 'uvu/assert'
import { testIf } from '../test_if.js'
import { until } from './program.js'
import { lacksRedis, Place } from './support.js'

const test = testIf(!lacksRedis, lacksRedis ?? '')
const place = new Place()
const count = 96

always.before(async () => {
  if (lacksRedis) return
  await place.makePhotos(count)
  await place.startRedis()
  await place.local('local', '--cams', '--confidence')
})
always.after.each(() => place.stop())
always.after(() => place.remove())

test('three workers make the same files and the same journal as one process', async () => {
  const workers = [place.patientWorker(), place.patientWorker(), place.patientWorker()]
  const producer = place.producer('three', ['--cams', '--confidence'])
  assert.is(await producer.ended, 0, producer.output)
  assert.match(producer.output, /96 photos to do; results in /)
  assert.match(producer.output, /\n00\/0095: [a-z, ]+ \(\d+\/96, /, 'a line for each photo')
  assert.match(producer.output, /\n96 photos done in /)
  place.assertSame('three', 'local')
  for (const kind of ['cams', 'confidence']) assert.equal(place.files(`three/${kind}`), place.files(`local/${kind}`))
  assert.is(place.journalLines('three').length, count, 'each photo once')
  assert.match(place.operate('status'), /^no run[\s\S]*3 workers:/)
  for (const worker of workers) worker.signal('SIGTERM')
  assert.equal(await Promise.all(workers.map(({ ended }) => ended)), [0, 0, 0])
  assert.match(place.operate('status'), /no worker/)
})

test('a run that was begun by one process goes on by a queue, and the other way round; shards are parts of both', async () => {
  place.worker()
  await place.local('both', '--shard', '1/3')
  const byQueue = place.producer('both', ['--shard', '2/3'])
  assert.is(await byQueue.ended, 0)
  assert.match(byQueue.output, /^[\s\S]*32 photos to do; results/)
  assert.match(await place.local('both'), /32 photos to do, 64 done before/)
  place.assertSame('both', 'local')
  const again = place.producer('both')
  assert.is(await again.ended, 0)
  assert.match(again.output, /0 photos to do, 96 done before/)
})

test("another root on the worker's machine, and a root that is another folder", async () => {
  mkdirSync(place.path('mount'))
  symlinkSync(place.folder, place.path('mount/data'))
  const wrong = place.worker(['--root', place.path('set')])
  const producer = place.producer('root', ['--root', '.'])
  await wrong.says(
    /not for this worker: its folder of results is not \S+ here; name with --root the folder that is \S+ on the producer's machine/,
  )
  // A worker tells its state every few seconds.
  await until('the status names the reason', async () => /refuses: /.test(await place.status()))
  place.worker(['--root', place.path('mount/data')])
  assert.is(await producer.ended, 0, producer.output)
  place.assertSame('root', 'local')
})

test('without a common folder: the producer serves photos and takes results', async () => {
  const away = place.path('away')
  mkdirSync(away)
  for (let i = 0; i < 2; i++) place.worker(['--root', away], { cwd: away })
  const producer = place.producer('served', ['--serve-photos', '127.0.0.1:0', '--cams', '--confidence'])
  assert.is(await producer.ended, 0, producer.output)
  place.assertSame('served', 'local')
  for (const kind of ['cams', 'confidence']) assert.equal(place.files(`served/${kind}`), place.files(`local/${kind}`))
  assert.is(place.files('away').size, 0, 'the workers wrote nothing on their machine')
})

test('--detach returns at once; workers do all and end by --until-done; the run is gone then', async () => {
  const producer = place.producer('detached', ['--detach', '--json'])
  assert.is(await producer.ended, 0)
  const queued = JSON.parse(producer.output.trim().split('\n').at(-1) as string)
  assert.equal([queued.event, queued.photos, queued.already], ['queued', count, 0])
  assert.match(
    place.operate('status'),
    new RegExp(`run ${queued.run}: 96 photos, jobs: ${queued.jobs} wait, 0 in work, 0 failed; no producer`),
  )
  const worker = place.worker(['--until-done'])
  assert.is(await worker.ended, 0)
  assert.match(place.operate('status'), /^no run /)
  assert.match(await place.local('detached'), /0 photos to do, 96 done before/)
  place.assertSame('detached', 'local')
})

always.run()
