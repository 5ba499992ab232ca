import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClassSet, ImageData, SegmentAllOptions, Segmenter } from '../../ts/index.js'
import { collectFrom, delayed, type Images, severalSizes, watched } from './segment_all.js'
import { load, type Scene, withoutTimings } from './support.js'

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

test('arrays, sets, generators and async generators give the results of segment(), in order', async () => {
  const options = { labels: ['panda', 'elephant'], include: ['confidence', 'cams'] } as const
  const expected = []
  for (const image of images) expected.push(withoutTimings(await segmenter.segment(image, classes, options)))
  for (const source of [images, new Set(images), images.values(), delayed(images)])
    assert.equal((await collect(source, options)).map(withoutTimings), expected)
})

test('an empty source gives no results', async () => {
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

test('the source is read ahead only for the images that run, one that waits and one that was delivered', async () => {
  const { log, iterable } = watched([...images, ...images, ...images])
  let results = 0
  let furthest = 0
  for await (const _ of segmenter.segmentAll(iterable, classes)) {
    furthest = Math.max(furthest, log.taken - results)
    results++
    await delay(results % 4) // also while the caller is busy
    furthest = Math.max(furthest, log.taken - results)
  }
  assert.is(results, 24)
  assert.ok(furthest > 1 && furthest <= segmenter.model.photosAtATime + 2, `${furthest} images`)
  assert.equal(log, { taken: 25, returned: 0 })
})

test('a source can wait for each result before it yields the next image', async () => {
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

test('the labels of an item replace those of the options', async () => {
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

test.run()
