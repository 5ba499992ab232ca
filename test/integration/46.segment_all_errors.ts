// Errors in segmentAll(): of items, of arguments and of the source.
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type ClassSet,
  ClipEsError,
  type ImageData,
  type SegmentAllOptions,
  type Segmenter,
  type SegmentOptions,
} from '../../ts/index.js'
import { collectFrom, type Images, loopUntilError, severalSizes, watched, widths } from './segment_all.js'
import { load, rejects, type Scene } from './support.js'

let segmenter: Segmenter
let classes: ClassSet
let photo: Scene
let images: ImageData[]

test.before(async () => {
  segmenter = await load()
  ;({ photo, images } = await severalSizes())
  classes = await segmenter.encodeClasses(photo.labels, { background: photo.background })
})
test.after(() => segmenter.close())

const collect = (from: Images, options?: SegmentAllOptions & { onError?: 'throw' }, by = segmenter) =>
  collectFrom(by, from, classes, options)

const until = (from: Images, options?: SegmentAllOptions, by = segmenter) => loopUntilError(by, from, classes, options)

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

test('an error of the source rejects after the results of the images before it', async () => {
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

/** Items that fail, each with a part of the message. */
const failing = (): [unknown, string][] => [
  [{ ...photo, width: 321 }, 'image.data has 230400 bytes'],
  [{ image: { ...photo, width: 321 }, key: 'wide' }, 'image.data has 230400 bytes'],
  [undefined, 'image is undefined'],
  [{ image: undefined, key: 'none' }, 'image is undefined'],
  [{ image: photo, labels: ['pandas'] }, "unknown label 'pandas'"],
  [{ image: photo, lables: ['panda'] }, "did you mean 'labels'?"],
  [{ image: photo, labels: [] }, 'labels has 0 elements'],
]

test("with onError 'yield' an item that fails gives its error, and the others give results", async () => {
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

test("by default, and with onError 'throw', the first item that fails rejects", async () => {
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
    [
      undefined,
      classes,
      {},
      'segmentAll(): items is undefined; expected an iterable or async iterable of images, or of { image, labels?, key? }',
    ],
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

test.run()
