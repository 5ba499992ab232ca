// The short form of `npm run soak:server`: requests with faults mixed in, and requests that no client sends.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fuzz } from './soak/fuzz.js'
import { soak } from './soak/soak.js'

test('300 requests with faults mixed in: all answers are right, nothing is left behind', async () => {
  const { kinds } = await soak(300, 7)
  assert.ok(Object.values(kinds).every((count) => count > 0))
})

test('400 requests that no client sends are answered by problems, and the server still works', async () => {
  const statuses = await fuzz(400, 7)
  assert.ok((statuses[400] ?? 0) > 50 && (statuses[404] ?? 0) > 10)
})

test.run()
