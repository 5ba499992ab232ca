// A Redis with an append-only file loses nothing when it is killed.
import { test as always } from 'uvu'
import * as assert from 'uvu/assert'
import { testIf } from '../test_if.js'
import { lacksRedis, Place } from './support.js'

const test = testIf(!lacksRedis, lacksRedis ?? '')
const place = new Place()
always.after(() => place.remove())

test('Redis is killed and comes back with its append-only file: nobody starts again', async () => {
  await place.makePhotos(96)
  await place.startRedis('--appendonly', 'yes', '--appendfsync', 'always')
  await place.local('local')
  place.patientWorker()
  const producer = place.producer('out')
  await producer.says(/\(([5-9]|[1-4]\d)\/96, /)
  await place.killRedis()
  await producer.says(/the connection to Redis at \S+ is lost/)
  await place.restartRedis()
  assert.is(await producer.ended, 0, producer.output)
  assert.match(producer.output, /clip-es: Redis is back/)
  assert.not.match(producer.output, /has lost the queue/)
  place.assertSame('out', 'local')
  assert.is(place.journalLines('out').length, 96, 'each photo once')
})

always.run()
