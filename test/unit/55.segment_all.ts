import { setTimeout as delay, setImmediate as nextIteration } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type ClassSet,
  ClipEsError,
  type ImageData,
  type LoadOptions,
  type SegmentAllOptions,
  type SegmentedItem,
  type Segmenter,
  type SegmentOptions,
  type SegmentResult,
} from '../../ts/index.js'
import { crop, load, reasonOf, rejects, type Scene, scene } from './support.js'

let segmenter: Segmenter
let classes: ClassSet
let photo: Scene
let images: ImageData[] // of different sizes, so that results can be told apart

test.before(async () => {
  segmenter = await load()
  photo = await scene('scene01')
  classes = await segmenter.encodeClasses(photo.labels, { background: photo.background })
  images = Array.from({ length: 8 }, (_, i) => crop(photo, 40 + 8 * i, 48))
})

test.after(() => segmenter.close())

const widths = (from: { width: number }[]) => from.map(({ width }) => width)
const withoutTimings = ({ timings, key, ...rest }: SegmentResult & { key?: number }) => rest

type Images = Iterable<ImageData> | AsyncIterable<ImageData>

async function collect(from: Images, options?: SegmentAllOptions & { onError?: 'throw' }, by = segmenter) {
  const results: SegmentedItem[] = []
  for await (const result of by.segmentAll(from, classes, options)) results.push(result)
  return results
}

/** The results before the loop fails, and the reason. */
async function until(
  from: Images,
  options?: SegmentAllOptions,
  by = segmenter,
): Promise<{ results: SegmentResult[]; reason: unknown }> {
  const results: SegmentResult[] = []
  const loop = async () => {
    for await (const result of by.segmentAll(from, classes, options)) if (!('error' in result)) results.push(result)
  }
  return { reason: await reasonOf(loop()), results }
}

function* generate() {
  yield* images
}

async function* generateAsync() {
  for (const image of images) {
    await delay(1)
    yield image
  }
}

/** An iterable that counts its calls. */
function watched(from: ImageData[]) {
  const log = { taken: 0, returned: 0 }
  const iterator = from[Symbol.iterator]()
  const iterable: Iterable<ImageData> = {
    [Symbol.iterator]: () => ({
      next() {
        log.taken++
        return iterator.next()
      },
      return() {
        log.returned++
        return { done: true, value: undefined }
      },
    }),
  }
  return { log, iterable }
}

/** Loads a segmenter for one test and closes it afterwards. */
async function withSegmenter(options: LoadOptions, use: (own: Segmenter) => Promise<void>): Promise<void> {
  const own = await load(undefined, { concurrency: 1, ...options })
  try {
    await use(own)
  } finally {
    await own.close()
  }
}

test('arrays, sets, generators and async generators give the results of segment(), in their order', async () => {
  const options = { labels: ['panda', 'elephant'], include: ['confidence', 'cams'] } as const
  const expected = []
  for (const image of images) expected.push(withoutTimings(await segmenter.segment(image, classes, options)))
  for (const source of [images, new Set(images), generate(), generateAsync()])
    assert.equal((await collect(source, options)).map(withoutTimings), expected)
})

test('no images give no results', async () => {
  assert.equal(await collect([]), [])
  assert.equal(await collect((async function* () {})()), [])
})

test('the source is not read before the first result is requested', async () => {
  const { log, iterable } = watched(images)
  const iterator = segmenter.segmentAll(iterable, classes)
  await delay(1)
  assert.is(log.taken, 0)
  await iterator.return()
  assert.equal(log, { taken: 0, returned: 0 })
})

test('the source is read ahead only for the photos that are computed, one that waits and one that is delivered', async () => {
  const { log, iterable } = watched([...images, ...images, ...images])
  let results = 0
  let furthest = 0
  for await (const _ of segmenter.segmentAll(iterable, classes)) {
    furthest = Math.max(furthest, log.taken - results)
    results++
    await delay(results % 4) // while the caller is busy, too
    furthest = Math.max(furthest, log.taken - results)
  }
  assert.is(results, 24)
  assert.ok(furthest > 1 && furthest <= segmenter.model.photosAtATime + 2, `${furthest} images`)
  assert.equal(log, { taken: 25, returned: 0 })
})

test('a source that waits for each result before it makes the next image gets them one by one', async () => {
  let received = 0
  let seen = () => {}
  async function* patient() {
    for (const [i, image] of images.entries()) {
      yield image
      while (received <= i)
        await new Promise<void>((resolve) => {
          seen = resolve
        })
    }
  }
  for await (const { width } of segmenter.segmentAll(patient(), classes)) {
    assert.is(width, images[received]?.width)
    received++
    seen()
  }
  assert.is(received, 8)
})

test('leaving the loop closes the source, and waits until it is closed', async () => {
  const { log, iterable } = watched(images)
  for await (const { width } of segmenter.segmentAll(iterable, classes)) {
    assert.is(width, 40)
    break
  }
  assert.is(log.returned, 1)
  assert.ok(log.taken <= 4)
  let cleaned = false
  async function* careful() {
    try {
      yield* images
    } finally {
      await delay(5)
      cleaned = true
    }
  }
  for await (const _ of segmenter.segmentAll(careful(), classes)) break
  assert.ok(cleaned)
  assert.is((await segmenter.segment(photo, classes)).width, 320)
})

test('leaving the loop cancels its waiting images, even behind another job in the queue', async () => {
  const large = { data: new Uint8Array(640 * 480), width: 640, height: 480 }
  const ended: string[] = []
  let reached = () => {}
  let open = () => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const atGate = new Promise<void>((resolve) => {
    reached = resolve
  })
  async function* gated() {
    yield* [photo, large]
    reached()
    await gate
    yield large
  }
  const loop = async () => {
    for await (const _ of segmenter.segmentAll(gated(), classes)) break
    ended.push('loop')
  }
  const before = segmenter.segment(large, classes) // runs while the others are queued
  const left = loop()
  await atGate
  const stranger = segmenter.segment(large, classes).then(() => ended.push('stranger'))
  open()
  await Promise.all([before, left, stranger])
  assert.equal(ended, ['loop', 'stranger'])
})

test('leaving the loop does not wait for a source that never yields another image', async () => {
  async function* stuck() {
    yield* images.slice(0, 1)
    await new Promise(() => {})
  }
  for await (const _ of segmenter.segmentAll(stuck(), classes)) break
  assert.is((await segmenter.segment(photo, classes)).width, 320)
})

test('an error that is thrown in the loop reaches the caller', async () => {
  const mine = new Error('mine')
  const { log, iterable } = watched(images)
  const loop = async () => {
    for await (const _ of segmenter.segmentAll(iterable, classes)) throw mine
  }
  assert.is(await reasonOf(loop()), mine)
  assert.is(log.returned, 1)
})

test('a bad image rejects after the results of the images before it, and closes the source', async () => {
  const bad = { ...photo, width: 321 }
  for (const place of [0, 1, 2, 3, 7]) {
    const { log, iterable } = watched([...images.slice(0, place), bad, ...images])
    const { results, reason } = await until(iterable)
    assert.equal(widths(results), widths(images.slice(0, place)))
    await rejects(Promise.reject(reason), 'ERR_INVALID_ARG', 'segmentAll(): image.data has 230400 bytes; 321 x 240 needs')
    assert.is(log.returned, 1)
    assert.ok(log.taken <= place + segmenter.model.photosAtATime + 2)
  }
  for (const nothing of [undefined, null, 'photo.jpg'])
    await rejects(collect([nothing as unknown as ImageData]), 'ERR_INVALID_ARG', 'segmentAll(): image is')
})

test('a source that throws does so after the results of the images before', async () => {
  const failure = new Error('the disk is gone')
  for (const count of [0, 1, 2, 3, 5]) {
    const sync = function* () {
      yield* images.slice(0, count)
      throw failure
    }
    const later = async function* () {
      yield* images.slice(0, count)
      await delay(1)
      throw failure
    }
    for (const source of [sync(), later()]) {
      const { results, reason } = await until(source)
      assert.is(reason, failure)
      assert.equal(widths(results), widths(images.slice(0, count)))
    }
  }
})

test('the iterator is done after an error', async () => {
  const iterator = segmenter.segmentAll([images[0] as ImageData, { ...photo, width: 1 }], classes)
  assert.is((await iterator.next()).value?.width, 40)
  await rejects(iterator.next(), 'ERR_INVALID_ARG')
  assert.equal(await iterator.next(), { done: true, value: undefined })
})

/** Items that fail, each with a part of its message. */
const failing = (): [unknown, string][] => [
  [{ ...photo, width: 321 }, 'image.data has 230400 bytes'],
  [{ image: { ...photo, width: 321 }, key: 'wide' }, 'image.data has 230400 bytes'],
  [undefined, 'image is undefined'],
  [{ image: undefined, key: 'none' }, 'image is undefined'],
  [{ image: photo, labels: ['pandas'] }, "unknown label 'pandas'"],
  [{ image: photo, lables: ['panda'] }, "did you mean 'labels'?"],
  [{ image: photo, labels: [] }, 'labels has 0 elements'],
]

test('each result has the key of its item, or the index', async () => {
  const small = images[0] as ImageData
  const items = [small, { image: small, key: 'cat.jpg' }, { image: small }, { image: small, key: undefined }]
  const keys = []
  for await (const { key, ...result } of segmenter.segmentAll(items, classes)) {
    keys.push(key)
    assert.equal(Object.keys(result).sort(), ['height', 'labels', 'mask', 'scores', 'timings', 'width'])
  }
  assert.equal(keys, [0, 'cat.jpg', 2, 3])
  const row = { id: 7 }
  for await (const { key } of segmenter.segmentAll([{ image: small, key: row }], classes)) assert.is(key.id, 7)
})

test('labels of an item stand for those of the options', async () => {
  const small = images[0] as ImageData
  const items = [
    { image: small },
    { image: small, labels: ['panda'] },
    { image: small, labels: [0] },
    { image: small, labels: 'auto' as const },
  ]
  const found = []
  for await (const { labels } of segmenter.segmentAll(items, classes, { labels: ['elephant', 'panda'] })) found.push(labels)
  assert.equal(found.slice(0, 3), [['elephant', 'panda'], ['panda'], [classes.names[0]]])
  const one = await segmenter.segment(small, classes, { labels: 'auto' })
  assert.equal(found[3], one.labels)
  const none = []
  for await (const { labels } of segmenter.segmentAll(items.slice(0, 2), classes, { labels: 'auto', labelThreshold: 1 }))
    none.push(labels)
  assert.equal(none, [[], ['panda']])
})

test("with onError 'yield' an item that fails gives its error, and the others their results", async () => {
  const bad = failing()
  const good = { image: images[0] as ImageData, key: 'good' }
  const items = bad.flatMap(([item]) => [item as ImageData, good])
  const seen = []
  for await (const result of segmenter.segmentAll(items, classes, { onError: 'yield' })) {
    if ('error' in result) {
      assert.instance(result.error, ClipEsError)
      assert.is(result.error.code, 'ERR_INVALID_ARG')
      assert.match(result.error.message, 'segmentAll(): ')
      assert.equal(Object.keys(result), ['key', 'error'])
      seen.push([result.key, result.error.message])
    } else {
      assert.is(result.key, 'good')
      assert.is(result.mask.length, 40 * (result.height as number))
      seen.push(undefined)
    }
  }
  assert.is(seen.length, items.length)
  for (const [i, [, part]] of bad.entries()) {
    const [key, message] = seen[2 * i] as [unknown, string]
    assert.is(key, (items[2 * i] as { key?: string } | undefined)?.key ?? 2 * i)
    assert.match(message, part)
    assert.is(seen[2 * i + 1], undefined)
  }
})

test("by default, and with onError 'throw', the first of them rejects", async () => {
  for (const options of [undefined, { onError: 'throw' } as const])
    for (const [item, part] of failing())
      await rejects(collect([images[0] as ImageData, item as ImageData], options), 'ERR_INVALID_ARG', part)
})

test("an abort, close() and a source that throws reject also with onError 'yield'", async () => {
  const options = { onError: 'yield' } as const
  const reason = new Error('enough')
  const controller = new AbortController()
  const source = function* () {
    yield photo
    yield photo
    controller.abort(reason)
    yield photo
  }
  assert.is((await until(source(), { ...options, signal: controller.signal })).reason, reason)
  const failure = new Error('the disk is gone')
  const broken = function* () {
    yield photo
    throw failure
  }
  const { results, reason: thrown } = await until(broken(), options)
  assert.is(thrown, failure)
  assert.is(results.length, 1)
  const own = await load()
  const endless = function* () {
    while (true) yield photo
  }
  const closed = until(endless(), options, own)
  await delay(50)
  await own.close()
  await rejects(Promise.reject((await closed).reason), 'ERR_CLOSED')
})

test('output is refused, because its memory holds only one result', async () => {
  const output = { mask: new Uint8Array(40 * 48) }
  await rejects(
    collect(images, { output } as SegmentAllOptions as object),
    'ERR_INVALID_ARG',
    'segmentAll(): output',
    'more than one image',
    'segment()',
  )
})

test('a wrong argument rejects the first result, and the source is not read', async () => {
  const wrong: [unknown, unknown, unknown, ...string[]][] = [
    [undefined, classes, {}, 'items is undefined', 'an iterable or async iterable'],
    [null, classes, {}, 'items is null', 'an iterable'],
    ['photos/', classes, {}, "items is 'photos/'", 'an iterable'],
    [images[0], classes, {}, 'items is {', 'an iterable'],
    [images, ['panda'], {}, 'classes is', 'encodeClasses()'],
    [images, classes, { labels: ['pandas'] }, "unknown label 'pandas'", "did you mean 'panda'?"],
    [images, classes, { refine: 1 }, 'refine is 1', 'true or false'],
    [images, classes, null, 'options is null', 'an object'],
    [images, classes, { signal: {} }, 'signal is {}', 'an AbortSignal'],
    [images, classes, { onError: 'skip' }, "unknown onError 'skip'", 'known: throw, yield'],
    [images, classes, { onErorr: 'yield' }, "unknown option 'onErorr'", "did you mean 'onError'?"],
    [images, classes, { labelThreshold: 0.2 }, 'labelThreshold is 0.2', "only for labels: 'auto'"],
  ]
  for (const [source, set, options, ...parts] of wrong) {
    const iterator = segmenter.segmentAll(source as ImageData[], set as ClassSet, options as SegmentOptions)
    await rejects(iterator.next(), 'ERR_INVALID_ARG', 'segmentAll(): ', ...parts)
  }
  const { log, iterable } = watched(images)
  await rejects(collect(iterable, { labels: [9] }), 'ERR_INVALID_ARG')
  assert.is(log.taken, 0)
})

test('loops wait while the queue is full, also if several loops and other calls run at the same time', async () => {
  await withSegmenter({ maxQueue: 1 }, async (own) => {
    const busy = async () => {
      for (let i = 0; i < 10; i++) await own.segment(photo, classes)
    }
    const first = busy()
    const loops = [collect(images, {}, own), collect(generate(), {}, own), collect(generateAsync(), {}, own)]
    const calls = [first].map((promise) => promise.catch((error: { code: string }) => assert.is(error.code, 'ERR_QUEUE_FULL')))
    for (const results of await Promise.all(loops)) assert.equal(widths(results), widths(images))
    await Promise.all(calls)
  })
})

test('refused images do not stop the next loop while the queue is full', async () => {
  await withSegmenter({ maxQueue: 1 }, async (own) => {
    const calls = [own.segment(photo, classes), own.segment(photo, classes)]
    const bad = [{ ...photo, width: 1 }]
    const controller = new AbortController()
    const loops = [until(bad, {}, own), until(bad, {}, own), until(images, { signal: controller.signal }, own)]
    const good = collect(images, {}, own)
    controller.abort()
    for (const { results } of await Promise.all(loops)) assert.equal(results, [])
    await Promise.all(calls)
    assert.equal(widths(await good), widths(images))
  })
})

test('an abort before the loop rejects with its reason, and the source is not read', async () => {
  const { log, iterable } = watched(images)
  const reason = new Error('not today')
  assert.is(await reasonOf(collect(iterable, { signal: AbortSignal.abort(reason) })), reason)
  assert.is(log.taken, 0)
})

test('an abort in the loop rejects with its reason and closes the source', async () => {
  const { log, iterable } = watched(images)
  const controller = new AbortController()
  const reason = { any: 'value' }
  const widthsSeen: number[] = []
  const loop = async () => {
    for await (const { width } of segmenter.segmentAll(iterable, classes, { signal: controller.signal })) {
      widthsSeen.push(width)
      if (widthsSeen.length === 2) controller.abort(reason)
    }
  }
  assert.is(await reasonOf(loop()), reason)
  assert.equal(widthsSeen, [40, 48])
  assert.is(log.returned, 1)
  assert.is((await segmenter.segment(photo, classes)).width, 320)
})

test('an abort while the source is silent rejects at once', async () => {
  const controller = new AbortController()
  const reason = new Error('waited long enough')
  async function* silent() {
    yield* images.slice(0, 2)
    await new Promise(() => {})
  }
  const seen: number[] = []
  const loop = async () => {
    for await (const { width } of segmenter.segmentAll(silent(), classes, { signal: controller.signal })) {
      seen.push(width)
      if (seen.length === 2) setImmediate(() => controller.abort(reason)) // the loop waits for the third image by then
    }
  }
  assert.is(await reasonOf(loop()), reason)
  assert.equal(seen, [40, 48])
})

test('an abort while the queue is full rejects at once', async () => {
  await withSegmenter({ maxQueue: 1 }, async (own) => {
    const settled: string[] = []
    const grey = new Uint8Array(1024 * 768)
    const running = own.segment({ data: grey, width: 1024, height: 768 }, classes).finally(() => settled.push('running'))
    const waiting = own.segment(photo, classes)
    const controller = new AbortController()
    const { log, iterable } = watched(images)
    const loop = until(iterable, { signal: controller.signal }, own)
    while (log.taken === 0) await nextIteration()
    await nextIteration() // the loop waits for room in the queue by then
    controller.abort('enough')
    assert.is((await loop).reason, 'enough')
    assert.equal(settled, [])
    await Promise.all([running, waiting])
  })
})

test('leaving the loop waits until its images have left the queue', async () => {
  await withSegmenter({ maxQueue: 1 }, async (own) => {
    for await (const _ of own.segmentAll([...images, photo, photo], classes)) break
    const next = [own.segment(photo, classes), own.segment(photo, classes)] // as many as run and wait at most
    assert.equal(widths(await Promise.all(next)), [320, 320])
  })
})

test('close() rejects the loop with ERR_CLOSED and closes the source', async () => {
  const own = await load()
  const { log, iterable } = watched([...images, ...images])
  const results: SegmentResult[] = []
  const loop = async () => {
    for await (const result of own.segmentAll(iterable, classes)) {
      results.push(result)
      if (results.length === 2) await own.close()
    }
  }
  await rejects(loop(), 'ERR_CLOSED')
  assert.equal(widths(results.slice(0, 2)), [40, 48])
  assert.ok(results.length <= 5)
  assert.is(log.returned, 1)
})

test.run()
