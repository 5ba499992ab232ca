// Threads and memory of segmenters, counted in a process of their own: a thread that is left behind is a process that does not end.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { run } from './child.js'

test('closed segmenters leave no threads and no memory behind', () => {
  const { before, after, memoryBefore, memoryAfter } = run(async ({ load, words, photo, threads, rss, sleep }) => {
    const use = async () => {
      const segmenter = await load()
      await segmenter.segment(photo(160, 120), await words(segmenter))
      await segmenter.close()
    }
    for (let i = 0; i < 3; i++) await use()
    await sleep(200) // a thread that has ended is listed a little longer
    const [before, memoryBefore] = [threads(), rss()]
    for (let i = 0; i < 20; i++) await use()
    await Promise.all(Array.from({ length: 20 }, use))
    await sleep(200)
    return { before, after: threads(), memoryBefore, memoryAfter: rss() }
  })
  console.log(`threads ${before} and ${after}, resident memory ${memoryBefore.toFixed(0)} and ${memoryAfter.toFixed(0)} MB`)
  assert.is(after, before)
  // Runs differ by 30 MB; of twenty that ran at once, glibc would keep 500 MB if it were not told to give it back.
  assert.ok(memoryAfter - memoryBefore < 80)
})

test('a segmenter has the threads that it was given and one more for each photo after the first; LibTorch adds none', () => {
  for (const precision of ['float32', 'bfloat16'] as const)
    for (const [count, concurrency] of [
      [1, 1],
      [3, 1],
      [3, 3],
    ] as const) {
      const started = run(
        async ({ load, words, photo, threads }, { count, concurrency, precision }) => {
          const before = threads()
          const segmenter = await load({ threads: count, concurrency, precision })
          const classes = await words(segmenter)
          await Promise.all([1, 2, 3, 4].map(() => segmenter.segment(photo(320, 240), classes, { include: ['cams'] })))
          const started = threads() - before
          await segmenter.close()
          return started
        },
        { data: { count, concurrency, precision }, env: { OMP_NUM_THREADS: '4' } },
      )
      assert.is(started, count + concurrency - 1, `${precision}, ${count} threads, ${concurrency} photos`)
    }
})

test('load() rejects if the system cannot start enough threads, and the process continues', () => {
  const { message, code, same } = run(async ({ load, words, photo, threads, until, sleep }) => {
    const { execFileSync } = require('node:child_process') as typeof import('node:child_process')
    const { readFileSync } = require('node:fs') as typeof import('node:fs')
    // A thread's stack takes 8 MB of address space; 200 MB is enough for ten of them and for the model.
    const limitAddressSpace = (more: number) => {
      const used = Number(/^VmSize:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024
      execFileSync('prlimit', ['--pid', String(process.pid), `--as=${more ? used + more : 'unlimited'}:unlimited`])
    }
    await (await load()).close()
    await sleep(200)
    const before = threads()
    limitAddressSpace(200e6)
    const error = await load({ threads: 200 }).then(
      () => ({ code: 'none', message: 'it was loaded' }),
      ({ code, message }) => ({ code, message }),
    )
    limitAddressSpace(0)
    const same = await until(() => threads() === before, 5)
    const segmenter = await load()
    await segmenter.segment(photo(64, 64), await words(segmenter))
    await segmenter.close()
    return { ...error, same }
  })
  assert.is(code, 'ERR_OUT_OF_MEMORY', message)
  assert.match(message, /only \d+ of 200 threads/)
  assert.ok(same, 'some threads stayed')
})

test('an unreachable segmenter is collected with its threads, and an idle one does not keep the process alive', () => {
  const collected = run(
    async ({ load, words, photo, threads, until, sleep }) => {
      const collect = (globalThis as unknown as { gc: () => void }).gc
      await (await load()).close()
      await sleep(200)
      const before = threads()
      const forget = async () => {
        const segmenter = await load({ threads: 3 })
        await segmenter.segment(photo(64, 64), await words(segmenter))
      }
      for (let i = 0; i < 3; i++) await forget()
      const ended = () => {
        collect()
        return threads() <= before
      }
      const collected = await until(ended, 20)
      await load() // open, idle, and reachable until the end
      return collected
    },
    { flags: ['--expose-gc'], seconds: 60 },
  )
  assert.ok(collected, 'the threads were still there after 20 seconds')
})

test('a pending job keeps the process alive until its promise settles, even if its segmenter is unreachable', () => {
  const pixels = run(
    async ({ load, words, photo }) => {
      const collect = (globalThis as unknown as { gc: () => void }).gc
      const start = async () => {
        const segmenter = await load()
        const classes = await words(segmenter)
        return segmenter.segment(photo(500, 375), classes)
      }
      const job = start()
      setTimeout(collect, 10).unref()
      return (await job).mask.length
    },
    { flags: ['--expose-gc'] },
  )
  assert.is(pixels, 500 * 375)
})

test.run()
