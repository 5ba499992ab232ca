import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LabelFinder } from '../../ts/labels/auto.js'
import { cropToPatches } from '../../ts/labels/crop.js'
import { classBox, largestValues, smoothPatches } from '../../ts/labels/patches.js'
import { segmentFound } from '../../ts/labels/segment_found.js'
import { load, scene } from './support.js'

const near = (found: Float64Array, wanted: readonly number[]) => {
  assert.is(found.length, wanted.length)
  for (const [i, value] of wanted.entries()) assert.ok(Math.abs((found[i] as number) - value) < 1e-12, `${i}: ${found[i]}`)
}

test('a patch is averaged with its neighbours, those that there are; background texts are left out', () => {
  // 3 x 2 patches, 2 classes and 1 background text.
  const first = [0.6, 0, 0.3, 0, 0, 0.9]
  const probabilities = Float64Array.from(first.flatMap((p, i) => [p, i / 10, 1 - p]))
  const smooth = smoothPatches(probabilities, { width: 3, height: 2 }, 2)
  const left = (0.6 + 0 + 0 + 0) / 4
  const middle = (0.6 + 0.3 + 0.9) / 6
  const right = (0.3 + 0.9) / 4
  near(
    smooth.filter((_, i) => i % 2 === 0),
    [left, middle, right, left, middle, right],
  )
  near(largestValues(smooth, 2), [0.3, (0.1 + 0.2 + 0.4 + 0.5) / 4])
})

test('a class’s box: what hangs together around its peak, and a patch more', () => {
  const rows = [
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.0, 0.0, 0.5, 0.9, 0.0, 0.0],
    [0.0, 0.0, 0.4, 0.0, 0.0, 0.0],
    [0.0, 0.0, 0.1, 0.0, 0.0, 0.8],
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
  ]
  const grid = { width: 6, height: 5 }
  const smooth = Float64Array.from(rows.flat().flatMap((p) => [1 - p, p]))
  assert.equal(classBox(smooth, grid, 2, 1, 0.4), { left: 1, top: 0, right: 5, bottom: 4 })
  assert.equal(classBox(smooth, grid, 2, 1, 0.5), { left: 1, top: 0, right: 5, bottom: 3 })
  assert.equal(classBox(smooth, grid, 2, 1, 0), { left: 0, top: 0, right: 6, bottom: 5 })
})

test('a box does not run over the right edge into the next row', () => {
  // Row by row: the peak at the right edge is followed by a high value at the left edge.
  const grid = { width: 4, height: 3 }
  const rows = [
    [0, 0, 0, 0.9],
    [0.8, 0, 0, 0],
    [0, 0, 0, 0],
  ]
  assert.equal(classBox(Float64Array.from(rows.flat()), grid, 1, 0, 0.4), { left: 2, top: 0, right: 4, bottom: 2 })
  const turned = Float64Array.from(rows.flat().toReversed())
  assert.equal(classBox(turned, grid, 1, 0, 0.4), { left: 0, top: 1, right: 2, bottom: 3 })
})

test('a part of a photo grows to whole pixels on all sides', () => {
  const data = Uint8Array.from({ length: 25 }, (_, i) => i)
  const image = { data, width: 5, height: 5 }
  const first = cropToPatches(image, { left: 0, top: 0, right: 1, bottom: 1 }, { width: 2, height: 2 })
  assert.equal([first.width, first.height], [3, 3])
  assert.equal([...first.data], [0, 1, 2, 5, 6, 7, 10, 11, 12])
  const last = cropToPatches(image, { left: 1, top: 1, right: 2, bottom: 2 }, { width: 2, height: 2 })
  assert.equal([...last.data], [12, 13, 14, 17, 18, 19, 22, 23, 24])
})

test('a part of a photo: the pixels that its patches cover, whatever the channels', () => {
  for (const channels of [1, 3, 4]) {
    const data = Uint8Array.from({ length: 5 * 4 * channels }, (_, i) => i)
    const part = cropToPatches({ data, width: 5, height: 4 }, { left: 1, top: 1, right: 2, bottom: 2 }, { width: 2, height: 2 })
    assert.equal([part.width, part.height], [3, 2])
    const pixels = [12, 13, 14, 17, 18, 19]
    assert.equal(
      [...part.data],
      pixels.flatMap((pixel) => Array.from({ length: channels }, (_, c) => pixel * channels + c)),
    )
  }
})

test('every part that is encoded to find labels is given back, also when reading it fails', async () => {
  const segmenter = await load()
  const photo = await scene('scene02')
  const classes = await segmenter.encodeClasses(['cat', 'bus', 'key', 'soccer ball'], { background: photo.background })
  let [encoded, disposed, fails] = [0, 0, false]
  const counting = {
    async encode(...args: Parameters<typeof segmenter.encode>) {
      const part = await segmenter.encode(...args)
      encoded++
      return {
        embeddings: async (options: object) => {
          if (fails) throw new Error('no embedding')
          return await part.embeddings(options)
        },
        dispose() {
          disposed++
          part.dispose()
        },
      }
    },
  } as unknown as typeof segmenter
  const whole = await segmenter.encode(photo)
  const finder = new LabelFinder(counting, classes, 0.15)
  assert.equal((await finder.find(photo, whole)).labels, [1, 3])
  assert.ok(encoded >= 2)
  assert.is(disposed, encoded)
  fails = true
  await finder.find(photo, whole).then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, 'no embedding'),
  )
  assert.is(disposed, encoded)
  whole.dispose()
  await segmenter.close()
})

test('labels cannot be found without background words', async () => {
  const segmenter = await load()
  const classes = await segmenter.encodeClasses(['cat', 'dog'], { background: [] })
  assert.throws(() => new LabelFinder(segmenter, classes, 0.2), /cannot be found without background words/)
  await segmenter.close()
})

test('what is found is segmented as if it were asked for; where nothing is found, all is background', async () => {
  const segmenter = await load()
  const photo = await scene('scene02')
  const classes = await segmenter.encodeClasses(['cat', 'bus', 'key', 'soccer ball'], { background: photo.background })
  const found = await segmentFound(photo, classes, new LabelFinder(segmenter, classes, 0.15), {})
  assert.equal(found.labels, ['bus', 'soccer ball'])
  assert.equal(found.found.labels, [1, 3])
  const asked = await segmenter.segment(photo, classes, { labels: ['bus', 'soccer ball'] })
  assert.equal(found.mask, asked.mask)
  assert.equal(found.scores, asked.scores)
  const none = await segmentFound(photo, classes, new LabelFinder(segmenter, classes, 1), { include: ['confidence', 'cams'] })
  assert.equal([none.labels.length, none.scores.length, none.cams?.length], [0, 0, 0])
  assert.ok(none.mask.every((value) => value === 0) && none.confidence?.every((value) => value === 1))
  assert.is(none.mask.length, 320 * 240)
  await segmenter.close()
})

test.run()
