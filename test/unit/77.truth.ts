// Ground truth from COCO's annotations, and what an evaluation makes of odd truths.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Evaluator } from '../../cli/src/eval/evaluation.js'
import { fittingTruth, openTruth } from '../../cli/src/eval/truth.js'

const folder = mkdtempSync(join(tmpdir(), 'clip-es-truth-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

const names = ['background', 'cat', 'dog']
const [cat, dog, foreign] = [17, 18, 99]

/** A rectangle from the left top corner, as a polygon. */
const rectangle = (width: number, height: number) => [[0, 0, width, 0, width, height, 0, height]]

/** An object that covers the left columns of a picture of 4 x 2. */
const object = (category_id: number, columns: number, more: object = {}) => ({
  ...{ id: 5, image_id: 1, category_id, area: 2 * columns, iscrowd: 0, segmentation: rectangle(columns, 2) },
  ...more,
})

function truthOf(annotations: object[], image: object = {}) {
  const file = join(folder, 'truth.json')
  const images = [{ id: 1, file_name: 'a.jpg', width: 4, height: 2, ...image }]
  const categories = [
    { id: cat, name: 'cat' },
    { id: dog, name: 'dog' },
    { id: foreign, name: 'unicorn' },
  ]
  writeFileSync(file, JSON.stringify({ images, annotations, categories }))
  return openTruth(file, names)
}

/** The first row of the truth. */
const row = async (...annotations: object[]) => [...(await truthOf(annotations).read('a')).data.subarray(0, 4)].join(' ')

async function rejected(work: Promise<unknown>, message: RegExp): Promise<void> {
  await work.then(
    () => assert.unreachable(),
    (error: { code: string; message: string }) => {
      assert.is(error.code, 'ERR_INVALID_ARG')
      assert.match(error.message, message)
    },
  )
}

test('smaller objects are drawn over larger ones, in any order of the list', async () => {
  const [large, small] = [object(cat, 3), object(dog, 1)]
  assert.is(await row(large, small), '2 1 1 0')
  assert.is(await row(small, large), '2 1 1 0')
})

test('crowds are ignored, and objects are drawn over them', async () => {
  const crowd = object(cat, 3, { iscrowd: 1, area: 1 })
  for (const annotations of [
    [crowd, object(dog, 2)],
    [object(dog, 2), crowd],
  ])
    assert.is(await row(...annotations), '2 2 255 0')
  assert.is(await row({ ...crowd, iscrowd: true }), '255 255 255 0')
  assert.is(await row({ ...crowd, iscrowd: '1' }), '255 255 255 0')
  assert.is(await row({ ...crowd, iscrowd: false }), '1 1 1 0')
})

test('objects of categories that are not classes are background', async () => {
  assert.is(await row(object(foreign, 4)), '0 0 0 0')
  assert.is(await row(object(foreign, 4, { segmentation: null }), object(cat, 1)), '1 0 0 0')
})

test('a shape that cannot be drawn fails its photo, with the number of the annotation', async () => {
  await rejected(
    row(object(cat, 1, { segmentation: null })),
    /truth\.json: annotation 5 cannot be drawn: its segmentation is null/,
  )
  await rejected(row(object(cat, 1, { segmentation: undefined })), /annotation 5 cannot be drawn: its segmentation is missing/)
  await rejected(row(object(cat, 1, { id: undefined, segmentation: [] })), /an annotation without id cannot be drawn/)
})

test('a photo without a size or without an entry is refused with its name', async () => {
  await rejected(truthOf([], { width: undefined }).read('a'), /the image a\.jpg has the size undefined x 2/)
  await rejected(truthOf([], { height: -1 }).read('a'), /has the size 4 x -1/)
  await rejected(truthOf([]).read('b'), /truth\.json has no image b/)
})

test('each side of a truth is a whole number from 1 to 65536', async () => {
  for (const side of [0, 2.5, 65537, '4', null]) {
    await rejected(truthOf([], { width: side }).read('a'), /whole numbers are expected/)
    await rejected(truthOf([], { height: side }).read('a'), /whole numbers are expected/)
  }
  for (const [width, height] of [
    [1, 1],
    [65536, 1],
    [1, 65536],
  ]) {
    const truth = await truthOf([], { width, height }).read('a')
    assert.equal([truth.width, truth.height, truth.data.length], [width, height, 65536 ** Number(width !== height)])
  }
})

test('a name is found in either Unicode form', async () => {
  assert.is((await truthOf([], { file_name: 'e\u0301.jpg' }).read('\u00e9')).width, 4)
})

test('the error for a truth of another size has both sizes and explains a quarter turn', async () => {
  const result = { file: 'a.png', width: 3, height: 2 }
  await rejected(fittingTruth(truthOf([]), 'a', result), /^a\.png is 3 x 2, but its truth .*truth\.json is 4 x 2$/)
  await rejected(fittingTruth(truthOf([]), 'a', { ...result, width: 2, height: 4 }), /swapped: .*EXIF/)
})

// ---------------------------------------------------------------- evaluations
const map = (text: string) => Uint8Array.from(text.split(' ').map(Number))

function figuresOf(mask: string, truth: string) {
  const evaluator = new Evaluator(names, 0.02)
  evaluator.add('a', map(mask), map(truth), truth.split(' ').length, 1)
  return evaluator.figures()
}

test('a truth that ignores every pixel is a failure and is not counted', () => {
  const evaluator = new Evaluator(names, 0.02)
  assert.throws(() => evaluator.add('a', map('0 1'), map('255 255'), 2, 1), /its truth ignores every pixel/)
  assert.is(evaluator.images, 0)
  assert.is(evaluator.boundary.found[1], 0)
})

test("the truth's ignored share is of all pixels, and the masks' ignored share is of the compared pixels", () => {
  const { truthIgnored, ignored, pixels } = figuresOf('0 255 1 1', '0 1 255 1')
  assert.equal([truthIgnored, ignored, pixels], [1 / 4, 1 / 3, 3])
})

test('a truth without any class and shifted values give warnings, and other mistakes do not', () => {
  assert.match(figuresOf('0 1 1 0', '0 0 255 0').warnings.join(), /no picture of the truth has a class: .*25\.0 % of them/)
  assert.match(figuresOf('0 2 2 0', '0 1 1 0').warnings.join(), /100\.0 % .* 1 higher/)
  assert.match(figuresOf('0 1 1 0', '0 2 2 0').warnings.join(), /1 lower/)
  assert.equal(figuresOf('0 1 2 0', '0 1 1 0').warnings, [])
  assert.equal(figuresOf('0 0 0 0', '0 1 1 0').warnings, [], 'nothing found is not a shift')
})

test.run()
