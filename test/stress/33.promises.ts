// Promises of many jobs that end in different ways.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { run } from './child.js'

test('the promises of jobs that run, wait, are aborted, closed or refused all settle', () => {
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
      for (const controller of controllers.slice(18, 30)) controller.abort() // these wait; the first ones may be done
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

test('ten thousand waiting jobs are aborted one by one', () => {
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

test("an 'exit' event that is emitted without an exit leaves no promise unsettled", () => {
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
