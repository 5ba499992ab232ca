// What goes wrong with workers: each time every photo gets the same mask as by one process.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test as always } from 'uvu'
import * as assert from 'uvu/assert'
import { testIf } from '../test_if.js'
import { until } from './program.js'
import { lacksRedis, Place, withScript } from './support.js'

const test = testIf(!lacksRedis, lacksRedis ?? '')
const root = join(__dirname, '../..')
const place = new Place()
const count = 96

always.before(async () => {
  if (lacksRedis) return
  await place.makePhotos(count)
  await place.startRedis()
  await place.local('local')
})
always.after.each(() => place.stop())
always.after(() => place.remove())

/** After some photos, but not all. */
const inTheMiddle = /\(([5-9]|[1-4]\d)\/96, /

test('a worker that is killed: its job goes elsewhere, and its unfinished file is removed', async () => {
  const victim = place.worker()
  const producer = place.producer('worker')
  await producer.says(inTheMiddle)
  await victim.kill()
  const [partial] = readdirSync(place.path('worker')).filter((name) => name.startsWith('.partial-queue-'))
  writeFileSync(place.path('worker', partial as string, 'half.tmp'), 'a part of a mask')
  place.worker()
  assert.is(await producer.ended, 0, producer.output)
  place.assertSame('worker', 'local')
})

test('a worker that hangs: its job goes elsewhere, and it does no harm when it wakes up', async () => {
  const victim = place.worker()
  const producer = place.producer('hangs')
  await producer.says(inTheMiddle)
  victim.signal('SIGSTOP')
  place.worker()
  assert.is(await producer.ended, 0, producer.output)
  victim.signal('SIGCONT')
  await until('it has come back', async () => /works on|2 workers/.test(await place.status()))
  place.assertSame('hangs', 'local')
})

test('a worker that is told to end finishes its jobs', async () => {
  const worker = place.patientWorker()
  const producer = place.producer('told')
  await producer.says(inTheMiddle)
  worker.signal('SIGTERM')
  assert.is(await worker.ended, 0)
  assert.match(worker.output, /the jobs in work are finished first/)
  assert.is(place.journalLines('told').length % 16, 0, 'whole jobs of 16 photos')
  place.patientWorker()
  assert.is(await producer.ended, 0, producer.output)
  place.assertSame('told', 'local')
  assert.is(place.journalLines('told').length, count, 'each photo once')
})

test('a poisoned photo that ends three workers is put aside and named, the rest goes on', async () => {
  const script = `const fs = require('node:fs/promises'), { readFile } = fs
    fs.readFile = (file, ...rest) => String(file).endsWith('00/0033.png') ? process.kill(process.pid, 'SIGKILL') : readFile(file, ...rest)`
  const env = withScript(place, 'poison.cjs', script)
  const producer = place.producer('poison')
  let deaths = 0
  const keepAlive = async (): Promise<void> => {
    while (producer.isRunning) {
      const worker = place.worker([], { env })
      await Promise.race([worker.ended, producer.ended])
      if (!worker.isRunning) deaths++
    }
  }
  await Promise.all([keepAlive(), producer.ended])
  assert.is(await producer.ended, 1, producer.output)
  assert.match(producer.output, /clip-es: 00\/0033: put aside: 3 workers ended while they worked on it/)
  assert.match(producer.output, /95 photos done in .*, 1 failed/)
  assert.is(deaths, 3)
  place.assertSame('poison', 'local', ['00/0033'])
  place.worker() // a healthy one
  place.operate('retry-failed')
  await until('it is done', () => place.files('poison/masks').size === count)
  assert.equal(place.files('poison/masks'), place.files('local/masks'))
})

test('clocks that differ by hours', async () => {
  const shift = (hours: number) =>
    withScript(place, `clock${hours}.cjs`, `const now = Date.now; Date.now = () => now() + ${hours} * 3600e3`)
  const victim = place.worker([], { env: shift(5) })
  const producer = place.producer('clocks', [], { env: shift(-7) })
  await producer.says(inTheMiddle)
  place.worker([], { env: shift(-3) })
  await victim.kill()
  assert.is(await producer.ended, 0, producer.output)
  place.assertSame('clocks', 'local')
})

const lacksMounts =
  spawnSync('unshare', ['-m', 'true']).status === 0 ? undefined : 'file systems cannot be mounted here (unshare -m)'
testIf(!lacksRedis && !lacksMounts, lacksRedis ?? lacksMounts ?? '')(
  'a full disk at one worker: it ends and says so, others do its job',
  async () => {
    const producer = place.producer('full')
    const masks = place.path('full/masks')
    const fill = `mkdir -p ${masks}; mount -t tmpfs -o size=4k tmpfs ${masks}; head -c 4096 /dev/zero > ${masks}/filled; exec "$@"`
    const full = place.worker([], { before: ['unshare', '-m', 'sh', '-c', fill, 'sh'] })
    assert.is(await full.ended, 1, full.output)
    assert.match(full.output, /ENOSPC.*; make room and start the worker again. Its job is in the queue for others/)
    place.worker()
    assert.is(await producer.ended, 0, producer.output)
    place.assertSame('full', 'local')
  },
)

test('a worker of another version, and one without the model, leave the jobs to others and say why', async () => {
  const old = place.path('old')
  mkdirSync(join(old, 'node_modules'), { recursive: true })
  for (const name of ['dist', 'package.json'])
    cpSync(join(root, name), join(old, 'node_modules/clip-es', name), { recursive: true })
  for (const name of ['build', 'data', 'models']) symlinkSync(join(root, name), join(old, 'node_modules/clip-es', name))
  for (const name of ['dist', 'package.json']) cpSync(join(root, 'cli', name), join(old, 'cli', name), { recursive: true })
  const packageFile = join(old, 'node_modules/clip-es/package.json')
  writeFileSync(packageFile, readFileSync(packageFile, 'utf8').replace(/"version": "[^"]+"/, '"version": "0.9.0"'))
  const env = { NODE_PATH: join(root, 'node_modules') }
  const outdated = place.worker([], { program: join(old, 'cli/dist/main.js'), env })
  const without = place.worker(['--model', place.path('set/labels.csv')])
  const producer = place.producer('versions')
  await outdated.says(/was begun by clip-es \S+, and this is 0\.9\.0; install the same version/)
  await without.says(/needs the model \S+ \([0-9a-f]{16}\), which is not among those of --model/)
  place.worker()
  assert.is(await producer.ended, 0, producer.output)
  place.assertSame('versions', 'local')
})

always.run()
