import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClassSet, ImageData, LoadOptions, Segmenter, SegmentOptions, SegmentResult } from '../../ts/index.js'
import { crop, largestDifference, load, reasonOf, rejects, type Scene, scene, withoutTimings } from './support.js'

let one: Segmenter // runs one photo at a time
let classes: ClassSet
let photo: Scene
let photos: ImageData[]
const options: SegmentOptions = { include: ['confidence', 'cams'] }

test.before(async () => {
  one = await load(undefined, { concurrency: 1 })
  photo = await scene('scene02')
  classes = await one.encodeClasses(photo.labels, { background: photo.background })
  photos = [
    photo,
    crop(photo, 200, 150),
    crop(photo, 64, 48),
    crop(photo, 200, 150),
    crop(photo, 150, 200),
    photo,
    crop(photo, 33, 200),
  ]
})

test.after(() => one.close())

async function withSegmenter<T>(given: LoadOptions, use: (own: Segmenter) => Promise<T>): Promise<T> {
  const own = await load(undefined, given)
  try {
    return await use(own)
  } finally {
    await own.close()
  }
}

const all = (own: Segmenter, more: SegmentOptions = {}) =>
  Promise.all(photos.map((image) => own.segment(image, classes, { ...options, ...more })))

test('photos at the same time give the same bits as one after another, for every number of threads', async () => {
  const expected: SegmentResult[] = []
  for (const image of photos) expected.push(await one.segment(image, classes, options))
  for (const given of [
    { threads: 4, concurrency: 4 },
    { threads: 3, concurrency: 2 },
    { threads: 1, concurrency: 3 },
  ])
    await withSegmenter(given, async (own) => {
      for (let round = 0; round < 3; round++)
        for (const [i, result] of (await all(own)).entries())
          assert.equal(withoutTimings(result), withoutTimings(expected[i] as SegmentResult))
      const inOrder: SegmentResult[] = []
      for await (const result of own.segmentAll(photos, classes, options)) inOrder.push(result)
      assert.equal(inOrder.map(withoutTimings), expected.map(withoutTimings))
    })
})

test('words, encoded photos and the CRF run at the same time', async () => {
  const expected = await Promise.all([one.encode(photo), one.segment(photo, classes, { crf: true })])
  const [words, crf] = [await expected[0].segment(classes, options), withoutTimings(expected[1])]
  await withSegmenter({ threads: 2, concurrency: 4 }, async (own) => {
    const encoded = await own.encode(photo)
    const results = await Promise.all([
      encoded.segment(classes, options),
      own.segment(photo, classes, { crf: true }),
      own.encodeClasses(photo.labels, { background: photo.background }),
      encoded.segment(classes, options),
      own.segment(photo, classes, { crf: true }),
    ])
    assert.equal([results[0], results[3]].map(withoutTimings), [words, words].map(withoutTimings))
    assert.equal([results[1], results[4]].map(withoutTimings), [crf, crf])
    assert.equal(withoutTimings(await own.segment(photo, results[2], options)), withoutTimings(words))
  })
})

test('a batch shares one pass, and its maps differ from those of single photos by less than 1e-4', async () => {
  const expected = await all(one)
  assert.is(new Set(expected.map(({ timings }) => timings.encode)).size, photos.length)
  const batches = { concurrency: 1, maxBatch: photos.length, maxDelay: 60_000 } // a full batch waits no longer
  await withSegmenter(batches, async (own) => {
    assert.is(own.model.photosAtATime, photos.length)
    const results = await all(own)
    assert.is(new Set(results.map(({ timings }) => timings.encode)).size, 1)
    for (const [i, { cams, scores, labels }] of results.entries()) {
      const alone = expected[i] as Required<SegmentResult>
      assert.ok(largestDifference(cams as Float32Array, alone.cams) < 1e-4)
      assert.ok(largestDifference(scores, alone.scores) < 1e-5)
      assert.equal(labels, alone.labels)
    }
  })
})

test('a photo waits maxDelay for others to join its batch', async () => {
  await withSegmenter({ concurrency: 1, maxBatch: 3, maxDelay: 300 }, async (own) => {
    const [first, second] = await Promise.all([own.segment(photo, classes), own.segment(photo, classes)])
    assert.ok(first.timings.queue >= 300, `${first.timings.queue} ms`)
    assert.is(first.timings.encode, second.timings.encode)
  })
})

test('words do not wait for a batch of photos to become full, and make it start', async () => {
  await withSegmenter({ concurrency: 1, maxBatch: 3, maxDelay: 60_000 }, async (own) => {
    const waiting = own.segment(photo, classes)
    const words = own.encodeClasses(['cat', 'dog'])
    assert.is((await waiting).width, photo.width)
    await words
    assert.is((await own.encodeClasses(['cat', 'dog'])).names.length, 2)
    assert.is((await own.encode(photo)).grid.width, 20)
  })
})

test('an abort removes one photo from a waiting or running batch, and the others get their results', async () => {
  const expected = await all(one)
  const reason = new Error('not this one')
  const others = photos.filter((_, i) => i !== 2)
  await withSegmenter({ concurrency: 2, maxBatch: photos.length, maxDelay: 60_000 }, async (own) => {
    const start = (image: ImageData) => own.segment(image, classes, options)
    for (const whenAborted of ['waiting', 'running']) {
      const controller = new AbortController()
      const aborted = reasonOf(own.segment(photos[2] as ImageData, classes, { ...options, signal: controller.signal }))
      const jobs = others.slice(0, 3).map(start)
      if (whenAborted === 'waiting') controller.abort(reason)
      jobs.push(...others.slice(3).map(start)) // the batch is full now
      if (whenAborted === 'waiting')
        jobs.push(start(photo)) // it is full with this one, which replaces the aborted one
      else await own.encodeClasses(['cat']) // starts later, on the other thread: the batch runs now
      controller.abort(reason)
      assert.is(await aborted, reason)
      for (const [i, { cams }] of (await Promise.all(jobs)).slice(0, others.length).entries())
        assert.ok(largestDifference(cams as Float32Array, (expected[i < 2 ? i : i + 1] as Required<SegmentResult>).cams) < 1e-4)
    }
  })
})

test('one photo of a batch that is refused fails with its own error, and the others get their results', async () => {
  const [expected] = await all(one)
  await withSegmenter({ concurrency: 1, maxBatch: 3, maxDelay: 60_000 }, async (own) => {
    const refused = own.segment(photo, classes, { crf: { bilateralColourSigma: 1e-3, bilateralPositionSigma: 1e-3 } })
    const others = [own.segment(photos[0] as ImageData, classes, options), own.segment(photo, classes)]
    await rejects(refused, 'ERR_INVALID_ARG', 'too small for a photo of')
    const [first, second] = await Promise.all(others)
    assert.ok(largestDifference(first?.cams as Float32Array, (expected as Required<SegmentResult>).cams) < 1e-4)
    assert.is(second?.width, photo.width)
  })
})

test('one signal ends a whole batch, and the segmenter keeps working', async () => {
  const large = { width: 1024, height: 1024, data: new Uint8Array(1024 * 1024 * 3).fill(99) } // takes longer than 20 ms on any CPU
  await withSegmenter({ threads: 1, concurrency: 2, maxBatch: 4, maxDelay: 5 }, async (own) => {
    for (const wait of [0, 5, 20]) {
      const controller = new AbortController()
      const jobs = photos.map(() => own.segment(large, classes, { signal: controller.signal }))
      const reasons = Promise.all(jobs.map(reasonOf))
      await delay(wait)
      controller.abort('all of them')
      for (const reason of await reasons) assert.is(reason, 'all of them')
    }
    assert.is((await own.segment(photo, classes)).width, photo.width)
  })
})

test('close() waits for all running jobs and rejects waiting ones', async () => {
  const own = await load(undefined, { threads: 2, concurrency: 2 })
  const jobs = Array.from({ length: 8 }, () => own.segment(photo, classes))
  const outcomes = Promise.allSettled(jobs)
  await jobs[0]
  await own.close()
  const settled = await outcomes
  const done = settled.filter(({ status }) => status === 'fulfilled').length
  assert.ok(done >= 1 && done < 8, `${done} of 8`)
  for (const outcome of settled) if (outcome.status === 'rejected') assert.is(outcome.reason.code, 'ERR_CLOSED')
  await rejects(own.segment(photo, classes), 'ERR_CLOSED')
})

test('the queue accepts maxQueue jobs in addition to those that run, and rejects one more', async () => {
  await withSegmenter({ threads: 2, concurrency: 2, maxQueue: 3 }, async (own) => {
    const jobs = Array.from({ length: 5 }, () => own.segment(photo, classes))
    await rejects(own.segment(photo, classes), 'ERR_QUEUE_FULL', '3 jobs wait already')
    assert.is((await Promise.all(jobs)).length, 5)
  })
})

test.run()
