// Processes that end while a segmenter works: by exit, signal or exception.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { end, exited, smallJobs, type Tools } from './child.js'

test('process.exit() during a load ends the process with its status', () => {
  for (const wait of [0, 40, 80, 130, 250]) {
    const ended = end(
      async ({ load, sleep }, wait) => {
        void load()
        await sleep(wait)
        process.exit(7)
      },
      { data: wait },
    )
    exited(ended, `after ${wait} ms`)
  }
})

test('process.exit() during large and small images ends the process with its status', () => {
  for (const [side, wait] of [
    [1024, 0],
    [1024, 150],
    [1024, 600],
    [32, 0],
    [32, 35],
    [32, 80],
  ]) {
    const ended = end(
      async ({ load, words, photo, sleep }, { side, wait }) => {
        const segmenter = await load()
        const classes = await words(segmenter)
        const image = photo(side, side)
        const lane = async () => {
          for (;;) await segmenter.segment(image, classes)
        }
        for (let i = 0; i < 5; i++) void lane()
        await sleep(wait)
        process.exit(7)
      },
      { data: { side: side as number, wait: wait as number } },
    )
    exited(ended, `${side} pixels, after ${wait} ms`)
  }
})

test('process.exit() in the callback of a result, while other jobs wait, ends the process with its status', () => {
  const ended = end(async ({ load, words, photo }) => {
    const segmenter = await load()
    const classes = await words(segmenter)
    for (let i = 0; i < 20; i++) void segmenter.segment(photo(64, 64), classes).then(() => process.exit(7))
    await new Promise(() => {})
  })
  exited(ended, 'in then()')
})

test('process.exit() while worker threads segment ends the process with its status', () => {
  const ended = end(
    async (_, smallJobs) => {
      const { Worker } = require('node:worker_threads') as typeof import('node:worker_threads')
      const { once } = require('node:events') as typeof import('node:events')
      const workers = Array.from({ length: 3 }, () => new Worker(smallJobs, { eval: true }))
      await Promise.all(workers.map((worker) => once(worker, 'message')))
      process.exit(7)
    },
    { data: smallJobs },
  )
  exited(ended, 'with three worker threads')
})

test('SIGINT and SIGTERM kill a process during a job like any other process', () => {
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    const { status, signal, stderr } = end(
      async ({ load, words, photo, sleep }, name) => {
        const segmenter = await load()
        const job = segmenter.segment(photo(1600, 1200), await words(segmenter))
        await sleep(50)
        process.kill(process.pid, name)
        await job
      },
      { data: name },
    )
    assert.equal({ status, signal, stderr }, { status: null, signal: name, stderr: '' })
  }
})

test('an uncaught exception ends the process with status 1, during a job and during a load', () => {
  const inJob = async ({ load, words, photo }: Tools) => {
    const segmenter = await load()
    const job = segmenter.segment(photo(1600, 1200), await words(segmenter))
    setTimeout(() => {
      throw new Error('nobody catches this')
    }, 50)
    await job
  }
  const inLoad = async ({ load }: Tools) => {
    setTimeout(() => {
      throw new Error('nobody catches this')
    }, 50)
    await load()
    await new Promise(() => {})
  }
  for (const body of [inJob, inLoad]) {
    const { status, signal, stderr } = end(body)
    assert.equal({ status, signal }, { status: 1, signal: null }, stderr)
    assert.match(stderr, 'nobody catches this')
  }
})

test.run()
