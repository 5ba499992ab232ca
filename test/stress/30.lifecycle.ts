// Segmenters begin and end in every way that a process, a worker thread or the garbage collector can bring about. Each program runs in a
// process of its own: a crash is a signal or a status, a thread left behind is a process that does not end.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Ended, end, program, run, type Tools } from './child.js'

const chosenStatus = 7

/** It ended as process.exit(7) ends a process, with nothing said. */
function exited({ status, signal, stderr }: Ended, how: string): void {
  assert.equal({ status, signal, stderr }, { status: chosenStatus, signal: null, stderr: '' }, how)
}

/** A worker thread's program: a segmenter that never runs out of small jobs. */
const smallJobs = program(async ({ load, words, photo }) => {
  const { parentPort } = require('node:worker_threads') as typeof import('node:worker_threads')
  const segmenter = await load({ threads: 1 })
  const classes = await words(segmenter)
  const image = photo(16, 16)
  parentPort?.postMessage('at work')
  const lane = async () => {
    for (;;) await segmenter.segment(image, classes)
  }
  await Promise.all(Array.from({ length: 40 }, lane))
})

// Threads and memory

test('closed segmenters leave neither threads nor memory behind', () => {
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

test('a segmenter has as many threads as it was given and one more for each photo beside the first, LibTorch none', () => {
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

test('a system that starts no more threads makes load() reject, and the process goes on', () => {
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

test('a forgotten segmenter is collected with its threads, an idle one does not keep the process alive', () => {
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

test('a job that is pending keeps the process alive until its promise settles, even of a segmenter that is forgotten', () => {
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

// Several at once

test('two segmenters at once give what each gives alone', () => {
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

test('four worker threads load and segment at once, one of them first to load LibTorch', () => {
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

// Worker threads that end

test('worker threads are terminated while promises settle, and the others go on', () => {
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

test('a worker thread is terminated, or exits, in the middle of a load or of a large image', () => {
  const loading = program(async ({ load }) => {
    const { parentPort } = require('node:worker_threads') as typeof import('node:worker_threads')
    parentPort?.postMessage('at work')
    await load()
    await new Promise(() => setInterval(() => {}, 1000))
  })
  const segmenting = program(async ({ load, words, photo }) => {
    const { parentPort } = require('node:worker_threads') as typeof import('node:worker_threads')
    const segmenter = await load()
    const job = segmenter.segment(photo(1600, 1200), await words(segmenter))
    parentPort?.postMessage('at work')
    await job
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

// Processes that end

test('process.exit() in the middle of a load ends the process with its status', () => {
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

test('process.exit() in the middle of large and of small images ends the process with its status', () => {
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

test('process.exit() inside a callback of a result, with others waiting, ends the process with its status', () => {
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

test('SIGINT and SIGTERM kill a process in mid-job as they kill any other', () => {
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

test('an exception that nobody catches ends the process with status 1, in mid-job and in mid-load', () => {
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

// Promises

test('every promise settles: of jobs that run, wait, are aborted, closed or refused', () => {
  const { made, settled, codes } = run(async ({ load, words, photo, sleep }) => {
    const codes: Record<string, number> = {}
    let made = 0
    let settled = 0
    const count = (promise: Promise<unknown>) => {
      made++
      const end = (code: string) => {
        settled++
        codes[code] = (codes[code] ?? 0) + 1
      }
      promise.then(
        () => end('fulfilled'),
        (error) => end(error.name === 'AbortError' ? error.name : error.code),
      )
    }
    for (let i = 0; i < 6; i++) {
      const segmenter = await load({ maxQueue: 30 })
      const classes = await words(segmenter)
      const encoded = await segmenter.encode(photo(64, 64))
      const controllers = Array.from({ length: 40 }, () => new AbortController())
      for (const { signal } of controllers) {
        if (made % 3 === 0) count(segmenter.segment(photo(64, 64), classes, { signal }))
        else if (made % 3 === 1) count(segmenter.encode(photo(48, 48), { signal }))
        else count(encoded.segment(classes, { signal }))
      }
      encoded.dispose()
      for (const controller of controllers.slice(18, 30)) controller.abort() // those that wait: the first ones may be done
      await sleep(i * 10)
      count(segmenter.close())
      count(segmenter.segment(photo(16, 16), classes))
    }
    await sleep(1000)
    return { made, settled, codes }
  })
  assert.is(settled, made)
  const { fulfilled, AbortError, ERR_CLOSED, ERR_QUEUE_FULL, ...others } = codes
  assert.equal(others, {})
  for (const number of [fulfilled, AbortError, ERR_CLOSED, ERR_QUEUE_FULL]) assert.ok(number, JSON.stringify(codes))
})

test('ten thousand jobs that wait are aborted one by one', () => {
  const { aborted, seconds, pixels } = run(async ({ load, words, photo }) => {
    const segmenter = await load({ maxQueue: 20_000 })
    const classes = await words(segmenter)
    const stopLarge = new AbortController()
    const large = Array.from({ length: 30 }, () =>
      segmenter.encode(photo(1600, 1200), { signal: stopLarge.signal }).catch(() => {}),
    )
    const image = photo(16, 16)
    const controllers = Array.from({ length: 10_000 }, () => new AbortController())
    const jobs = controllers.map(({ signal }) => segmenter.segment(image, classes, { signal }))
    const outcomes = Promise.allSettled(jobs)
    const start = performance.now()
    for (const [i, controller] of controllers.reverse().entries()) controller.abort(i)
    let aborted = 0
    for (const [i, outcome] of (await outcomes).reverse().entries())
      aborted += Number(outcome.status === 'rejected' && outcome.reason === i)
    const seconds = (performance.now() - start) / 1000
    stopLarge.abort()
    await Promise.all(large)
    const { mask } = await segmenter.segment(image, classes)
    await segmenter.close()
    return { aborted, seconds, pixels: mask.length }
  })
  console.log(`10,000 aborts took ${seconds.toFixed(2)} s`)
  assert.equal({ aborted, pixels }, { aborted: 10_000, pixels: 256 })
  assert.ok(seconds < 10)
})

test("an 'exit' event that is not the end leaves no promise unsettled", () => {
  const codes = run(async ({ load, words, photo }) => {
    const segmenter = await load()
    const classes = await words(segmenter)
    const code = (promise: Promise<unknown>) =>
      promise.then(
        () => 'fulfilled',
        (error) => error.code,
      )
    const jobs = Array.from({ length: 5 }, () => code(segmenter.segment(photo(500, 375), classes)))
    process.emit('exit', 0)
    jobs.push(code(segmenter.segment(photo(16, 16), classes)))
    return await Promise.all(jobs)
  })
  assert.equal([...new Set(codes)], ['ERR_CLOSED'])
})

test.run()
