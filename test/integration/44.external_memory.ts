// V8 is told how much native memory JavaScript objects hold. It collects garbage each time that about 64 MB were added since the last
// collection, so the number of collections shows what V8 was told. This file runs in its own process: other objects would add collections.
import { constants, type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Segmenter } from '../../ts/index.js'
import { load } from './support.js'

const photo = { data: new Uint8Array(1024 * 768 * 3).fill(99), width: 1024, height: 768 } // about 40 MB when encoded
let collections = 0

new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    const { kind } = (entry as PerformanceEntry & { detail: { kind: number } }).detail
    if (kind === constants.NODE_PERFORMANCE_GC_MAJOR) collections++
  }
}).observe({ entryTypes: ['gc'] })

async function countCollections(times: number, body: () => Promise<void>): Promise<number> {
  await delay(20) // entries arrive later than the collections
  const before = collections
  for (let i = 0; i < times; i++) await body()
  await delay(20)
  return collections - before
}

// V8 may collect for other reasons, too, so only differences show what it was told.

test('a closed segmenter no longer counts as external memory', async () => {
  const open: Segmenter[] = [] // each has more than 8 MB
  const closed = await countCollections(40, async () => {
    const segmenter = await load(undefined, { threads: 1 })
    await segmenter.close()
  })
  const left = await countCollections(40, async () => {
    open.push(await load(undefined, { threads: 1 }))
  })
  for (const segmenter of open) await segmenter.close()
  assert.ok(left >= closed + 6, `${closed} collections with close(), ${left} without`)
})

test('an encoded photo counts as external memory until it is disposed', async () => {
  const segmenter = await load(undefined, { threads: 1 })
  const disposed = await countCollections(16, async () => {
    const encoded = await segmenter.encode(photo)
    encoded.dispose()
    encoded.dispose()
  })
  const forgotten = await countCollections(16, async () => {
    await segmenter.encode(photo)
  })
  assert.ok(forgotten >= disposed + 2, `${disposed} collections with dispose(), ${forgotten} without`)
  await segmenter.close()
})

test.run()
