// denseCrf() has threads of its own, which no close() ends. Processes and worker threads end in the middle of its jobs.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { end, program, run } from './child.js'

/** A worker thread's program: more jobs than can end, some of which wait. */
const longJobs = program(async ({ denseCrf, photo }) => {
  const { parentPort } = require('node:worker_threads') as typeof import('node:worker_threads')
  const { data: rgb, width, height } = photo(320, 240)
  const input = { rgb, width, height, scores: new Float32Array(3 * width * height).fill(0.5), labels: 3 }
  await denseCrf(input, { rounds: 1 })
  parentPort?.postMessage('at work')
  await Promise.all([1, 2, 1, 2].map((threads) => denseCrf(input, { rounds: 1000, threads })))
})

test('process.exit() during jobs ends the process with its status', () => {
  for (const delay of [0, 1, 30, 200]) {
    const ended = end(
      async ({ denseCrf, photo, sleep }, { delay }) => {
        const { data: rgb, width, height } = photo(640, 480)
        const input = { rgb, width, height, scores: new Float32Array(3 * width * height).fill(0.5), labels: 3 }
        for (const threads of [1, 2, 1]) denseCrf(input, { rounds: 1000, threads }).catch(() => {})
        await sleep(delay)
        process.exit(7)
      },
      { data: { delay }, seconds: 60 },
    )
    assert.equal([ended.status, ended.signal, ended.stderr], [7, null, ''], `after ${delay} ms`)
  }
})

test('worker threads are terminated, and exit, during jobs, and the main thread continues', () => {
  const ends = run(
    async ({ denseCrf, sleep }, source) => {
      const { Worker } = require('node:worker_threads') as typeof import('node:worker_threads')
      const ends: number[] = []
      for (const delay of [0, 20, 100]) {
        const worker = new Worker(source, { eval: true })
        await new Promise((done, failed) => worker.once('message', done).once('error', failed))
        await sleep(delay)
        ends.push(await worker.terminate())
      }
      const input = { rgb: new Uint8Array(12), width: 2, height: 2, scores: new Float32Array(8).fill(0.5), labels: 2 }
      ends.push((await denseCrf(input)).mask.length)
      return ends
    },
    { data: longJobs, seconds: 60 },
  )
  assert.equal(ends, [1, 1, 1, 4])
})

test('a pending job keeps the process alive until it has settled, and idle engines do not', () => {
  const labels = run(async ({ denseCrf }) => {
    const input = { rgb: new Uint8Array(12), width: 2, height: 2, scores: new Float32Array(8).fill(0.5), labels: 2 }
    const all = await Promise.all([1, 2, 3, 4, 5, 6].map((threads) => denseCrf(input, { threads })))
    return all.map(({ mask }) => mask.length)
  })
  assert.equal(labels, [4, 4, 4, 4, 4, 4])
})

test('unreachable engines end their threads', () => {
  const { before, most, after } = run(
    async ({ denseCrf, threads, until }) => {
      const before = threads()
      const input = { rgb: new Uint8Array(12), width: 2, height: 2, scores: new Float32Array(8).fill(0.5), labels: 2 }
      for (let count = 1; count <= 12; count++) await denseCrf(input, { threads: count })
      const most = threads()
      const collect = globalThis.gc as () => void
      await until(() => {
        collect()
        return threads() <= before + 9 + 10 + 11 + 12
      }, 20)
      return { before, most, after: threads() }
    },
    { flags: ['--expose-gc'] },
  )
  assert.ok(most > before)
  assert.ok(after <= before + 9 + 10 + 11 + 12, `${before} threads before, ${most} at most, ${after} after`)
})

test.run()
