// What goes wrong with a producer or with Redis: each time every photo gets the same mask as by one process.
import { spawnSync } from 'node:child_process'
import { test as always } from 'uvu'
import * as assert from 'uvu/assert'
import { testIf } from '../test_if.js'
import { until } from './program.js'
import { lacksRedis, Place, withScript } from './support.js'

const test = testIf(!lacksRedis, lacksRedis ?? '')
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

test('a producer that is killed: the workers go on, and started again it follows them', async () => {
  place.patientWorker()
  const producer = place.producer('producer')
  await producer.says(inTheMiddle)
  await producer.kill()
  const again = place.producer('producer')
  assert.is(await again.ended, 0, again.output)
  place.assertSame('producer', 'local')
  assert.is(place.journalLines('producer').length, count, 'each photo once')
})

test('a producer that is killed while it serves photos: workers wait for the next one', async () => {
  place.worker()
  const producer = place.producer('served', ['--serve-photos', '127.0.0.1:0'])
  await producer.says(inTheMiddle)
  await producer.kill()
  const again = place.producer('served', ['--serve-photos', '127.0.0.1:0'])
  assert.is(await again.ended, 0, again.output)
  place.assertSame('served', 'local')
})

test('Redis is killed and comes back empty: the producer fills the queue again from the journal', async () => {
  // Photos that take a while: some are left when Redis ends.
  const script = `const fs = require('node:fs/promises'), { readFile } = fs
    fs.readFile = async (...args) => (await new Promise((resolve) => setTimeout(resolve, 100)), await readFile(...args))`
  place.worker([], { env: withScript(place, 'slow.cjs', script) })
  const producer = place.producer('empty')
  await producer.says(inTheMiddle)
  await place.killRedis()
  await producer.says(/the connection to Redis at \S+ is lost/)
  await place.restartRedis()
  assert.is(await producer.ended, 0, producer.output)
  assert.match(producer.output, /Redis has lost the queue; it is filled again from the journal/)
  assert.match(producer.output, /96 photos done in /)
  place.assertSame('empty', 'local')
})

const lacksNames = spawnSync('unshare', ['-u', 'true']).status === 0 ? undefined : 'hosts cannot be renamed here (unshare -u)'
testIf(!lacksRedis && !lacksNames, lacksRedis ?? lacksNames ?? '')(
  'two producers for one folder: the second is refused, on this machine and on another',
  async () => {
    const first = place.producer('two')
    await until('the run is there', async () => /96 photos/.test(await place.status()))
    const second = place.producer('two')
    assert.is(await second.ended, 2)
    assert.match(second.output, /process \d+ is working on this part of two; wait for it/)
    const other = ['unshare', '-u', 'sh', '-c', 'hostname elsewhere; exec "$@"', 'sh']
    const third = place.producer('two', [], { before: other })
    assert.is(await third.ended, 2, third.output)
    assert.match(third.output, /process \d+ on \S+ already puts the photos of this folder into the queue; wait for it/)
    place.worker()
    assert.is(await first.ended, 0, first.output)
    place.assertSame('two', 'local')
  },
)

always.run()
