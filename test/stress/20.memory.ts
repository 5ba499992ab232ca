// Memory is given back: resident memory after hundreds of images is what it was after the first.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { run } from './child.js'

const flags = ['--expose-gc']
// MB between two medians of 100 samples. They repeat to about 3 MB (malloc's arenas, V8's heap). Over the 700 images between them a leak
// of 20 kB an image shows: a quarter of the smallest encoded image, a ninth of the largest mask.
const limit = 15

test('a thousand images leave no memory behind', () => {
  const { early, late } = run(
    async ({ load, words, photo, rss, median }) => {
      const collect = (globalThis as unknown as { gc: () => void }).gc
      const segmenter = await load()
      const classes = await words(segmenter)
      const sizes = [
        [48, 48],
        [500, 375],
        [160, 120],
        [64, 200],
        [320, 240],
      ] as const
      const images = sizes.map(([width, height]) => photo(width, height))
      const samples: number[] = []
      const sample = () => {
        if (samples.length % 10 === 0) collect()
        samples.push(rss())
      }
      for (let i = 0; samples.length < 1000; i++) {
        const image = images[i % images.length] as (typeof images)[number]
        const include = i % 7 ? [] : (['confidence', 'cams'] as const)
        if (i % 3 === 0) {
          await segmenter.segment(image, classes, { include })
          sample()
        } else if (i % 3 === 1) {
          const encoded = await segmenter.encode(image)
          await encoded.segment(classes, { include })
          encoded.dispose()
          sample()
        } else for await (const _ of segmenter.segmentAll(images, classes, { include })) sample()
      }
      await segmenter.close()
      return { early: median(samples.slice(200, 300)), late: median(samples.slice(900)) }
    },
    { flags },
  )
  const figures = `resident memory after 200 images ${early.toFixed(0)} MB, after 1000 ${late.toFixed(0)} MB`
  console.log(figures)
  assert.ok(late - early < limit, figures)
})

test('the memory that one huge photo needed is given back', () => {
  const { before, after, most } = run(
    async ({ load, words, photo, rss, sleep }) => {
      const segmenter = await load({ maxSide: Number.POSITIVE_INFINITY })
      const classes = await words(segmenter)
      const small = photo(320, 240)
      const times = async (count: number) => {
        for (let i = 0; i < count; i++) await segmenter.segment(small, classes)
      }
      await times(3)
      const before = rss()
      let [most, done] = [0, false]
      const huge = segmenter.segment(photo(1760, 1320), classes).then(() => {
        done = true
      })
      for (; !done; await sleep(20)) most = Math.max(most, rss())
      await huge
      await times(3)
      const after = rss()
      await segmenter.close()
      return { before, after, most }
    },
    { flags },
  )
  const figures = `resident memory before a huge photo ${before.toFixed(0)} MB, at most ${most.toFixed(0)} MB, afterwards ${after.toFixed(0)} MB`
  console.log(figures)
  assert.ok(most - before > 400, figures)
  assert.ok(after - before < 100, figures)
})

test('unreachable encoded images are collected', () => {
  const { size, most, settled, count } = run(
    async ({ load, photo, rss, sleep }) => {
      const collect = (globalThis as unknown as { gc: () => void }).gc
      const segmenter = await load()
      const image = photo(320, 240)
      for (let i = 0; i < 5; i++) (await segmenter.encode(image)).dispose()
      collect()
      const before = rss()
      const kept = await Promise.all(Array.from({ length: 10 }, () => segmenter.encode(image)))
      const size = (rss() - before) / 10
      for (const encoded of kept) encoded.dispose()
      const count = 400
      let most = 0
      for (let i = 0; i < count; i++) {
        await segmenter.encode(image) // V8 knows how much it holds
        most = Math.max(most, rss() - before)
      }
      for (let i = 0; i < 5; i++) {
        collect()
        await sleep(20) // finalizers run after a collection
      }
      await segmenter.close() // makes malloc give back what it holds
      const settled = rss() - before
      return { size, most, settled, count }
    },
    { flags },
  )
  const figures = `${count} forgotten images of ${size.toFixed(1)} MB held ${most.toFixed(0)} MB at most, ${settled.toFixed(0)} MB after a collection`
  console.log(figures)
  assert.ok(size > 0.5, figures)
  // V8 collects after each 64 MB or so of memory that it was told of.
  assert.ok(most < 250, figures)
  assert.ok(settled < 50, figures)
})

test('aborted jobs leave no memory behind, wherever they are stopped', () => {
  const { early, late, aborted, done } = run(
    async ({ load, words, photo, rss, median, sleep }) => {
      const collect = (globalThis as unknown as { gc: () => void }).gc
      const segmenter = await load()
      const classes = await words(segmenter)
      const image = photo(320, 240)
      const samples: number[] = []
      let aborted = 0
      let done = 0
      for (let i = 0; i < 600; i++) {
        const controller = new AbortController()
        const { signal } = controller
        const job = i % 2 ? segmenter.encode(image, { signal }) : segmenter.segment(image, classes, { signal, include: ['cams'] })
        const settled = job.then(
          () => done++,
          () => aborted++,
        )
        if (i % 4 > 1) await sleep((i * 7) % 60)
        controller.abort()
        await settled
        if (i % 10 === 0) collect()
        samples.push(rss())
      }
      await segmenter.close()
      return { early: median(samples.slice(100, 200)), late: median(samples.slice(500)), aborted, done }
    },
    { flags },
  )
  const figures = `resident memory after 100 jobs ${early.toFixed(0)} MB, after 600 ${late.toFixed(0)} MB; ${aborted} aborted, ${done} done`
  console.log(figures)
  assert.ok(aborted >= 300, figures)
  assert.ok(late - early < limit, figures)
})

test.run()
