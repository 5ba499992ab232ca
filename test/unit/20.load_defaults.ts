// What load() does when it is told nothing. Needs no add-on.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { resolveLoadOptions } from '../../ts/engine/load_options.js'

test('queue, pixels and side have their documented defaults', () => {
  const { maxQueue, maxPixels, maxSide } = resolveLoadOptions({})
  assert.equal([maxQueue, maxPixels, maxSide], [256, 100e6, 1024])
})

test('four photos run at the same time, or as many as there are threads', () => {
  for (const [threads, concurrency] of [
    [1, 1],
    [3, 3],
    [4, 4],
    [16, 4],
  ] as const)
    assert.is(resolveLoadOptions({ threads, device: 'cpu' }).concurrency, concurrency, `${threads} threads`)
})

test.run()
