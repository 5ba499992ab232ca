// Segmenters at the same time, in one thread or in several, and worker threads that end. A crash is a signal or a status of the process.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { program, run, smallJobs } from './child.js'

test('two segmenters at the same time give the results of each alone', () => {
  const same = run(async ({ load, words, photo }) => {
    const segmenters = [await load(), await load({ threads: 1 })]
    const images = [photo(160, 120), photo(97, 203), photo(64, 64)]
    const work = async (segmenter: Awaited<ReturnType<typeof load>>) => {
      const classes = await words(segmenter)
      const masks: string[] = []
      for (const image of images) masks.push(Buffer.from((await segmenter.segment(image, classes)).mask).toString('base64'))
      return JSON.stringify(masks)
    }
    const alone: string[] = []
    for (const segmenter of segmenters) alone.push(await work(segmenter))
    const together = await Promise.all(segmenters.map(work))
    for (const segmenter of segmenters) await segmenter.close()
    return [alone, together]
  })
  assert.equal(same[1], same[0])
})

test('four worker threads load and segment at the same time, and one of them is the first to load LibTorch', () => {
  const work = program(async ({ load, words, photo }) => {
    const segmenter = await load()
    const classes = await words(segmenter)
    const masks: string[] = []
    for (const image of [photo(160, 120), photo(64, 64)])
      masks.push(Buffer.from((await segmenter.segment(image, classes)).mask).toString('base64'))
    return masks
  })
  const { results, statuses } = run(
    async (_, work) => {
      const { Worker } = require('node:worker_threads') as typeof import('node:worker_threads')
      const { once } = require('node:events') as typeof import('node:events')
      const workers = Array.from({ length: 4 }, () => new Worker(work, { eval: true }))
      const ends = workers.map((worker) => once(worker, 'exit')) // none of them closes its segmenter
      const results = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]))
      return { results, statuses: (await Promise.all(ends)).flat() }
    },
    { data: work },
  )
  assert.equal(statuses, [0, 0, 0, 0])
  for (const result of results) assert.equal(result, results[0])
})

test('worker threads are terminated while promises settle, and other threads continue', () => {
  const { statuses, pixels } = run(
    async ({ load, words, photo, sleep }, smallJobs) => {
      const { Worker } = require('node:worker_threads') as typeof import('node:worker_threads')
      const { once } = require('node:events') as typeof import('node:events')
      const segmenter = await load({ threads: 1 })
      const classes = await words(segmenter)
      const statuses = new Set<number>()
      for (let i = 0; i < 40; i++) {
        const worker = new Worker(smallJobs, { eval: true })
        await once(worker, 'message')
        await sleep((i * 7) % 30)
        statuses.add(await worker.terminate())
      }
      const { mask } = await segmenter.segment(photo(64, 64), classes)
      await segmenter.close()
      return { statuses: [...statuses], pixels: mask.length }
    },
    { data: smallJobs },
  )
  assert.equal({ statuses, pixels }, { statuses: [1], pixels: 64 * 64 })
})

test('a worker thread is terminated, or exits, during a load or a large image', () => {
  const loading = program(async ({ load }) => {
    const { parentPort } = require('node:worker_threads') as typeof import('node:worker_threads')
    parentPort?.postMessage('at work')
    await load()
    await new Promise(() => setInterval(() => {}, 1000))
  })
  const segmenting = program(async ({ load, words, photo }) => {
    const { parentPort } = require('node:worker_threads') as typeof import('node:worker_threads')
    const segmenter = await load()
    const classes = await words(segmenter)
    const jobs = Array.from({ length: 20 }, () => segmenter.segment(photo(1600, 1200), classes)) // more than end in the longest wait
    parentPort?.postMessage('at work')
    await Promise.all(jobs)
  })
  const exiting = program(async ({ load, words, photo }) => {
    const { parentPort } = require('node:worker_threads') as typeof import('node:worker_threads')
    const segmenter = await load()
    const classes = await words(segmenter)
    for (let i = 0; i < 5; i++) void segmenter.segment(photo(1600, 1200), classes)
    parentPort?.postMessage('at work')
    setTimeout(() => process.exit(9), 50)
  })
  for (const wait of [0, 60, 200]) {
    const statuses = run(
      async ({ load, words, photo, sleep }, { programs, wait }) => {
        const { Worker } = require('node:worker_threads') as typeof import('node:worker_threads')
        const { once } = require('node:events') as typeof import('node:events')
        const statuses: number[] = []
        for (const source of programs) {
          const worker = new Worker(source, { eval: true })
          const ended = once(worker, 'exit')
          await once(worker, 'message')
          await sleep(wait)
          if (source !== programs.at(-1)) void worker.terminate()
          statuses.push((await ended)[0])
        }
        const segmenter = await load()
        await segmenter.segment(photo(64, 64), await words(segmenter))
        await segmenter.close()
        return statuses
      },
      { data: { programs: [loading, segmenting, exiting], wait } },
    )
    assert.equal(statuses, [1, 1, 9], `after ${wait} ms`)
  }
})

test.run()
