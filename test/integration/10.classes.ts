import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { backgrounds, type ClassSet, type ClassSpec, templates } from '../../ts/index.js'
import { background, encode, photo, prepare, segmenter } from './classes_support.js'
import { SavedClasses } from './saved_classes.js'
import { crop, largestDifference, load, reasonOf, rejects, temporaryFolder } from './support.js'

// Embeddings are not in the API: classes are compared by the scores they give a photo, and by the rows of their file.
const folder = temporaryFolder()
test.before(prepare)
test.after(() => segmenter.close())

const segment = (classes: ClassSet, labels?: (string | number)[]) =>
  segmenter.segment(crop(photo, 96, 96), classes, { labels, refine: false, include: ['cams'] })
const scoresOf = async (classes: ClassSet, labels?: (string | number)[]) => (await segment(classes, labels)).scores

async function save(classes: ClassSet): Promise<SavedClasses> {
  const file = join(folder, 'classes.safetensors')
  await classes.save(file)
  return new SavedClasses(file)
}

/** The mean of rows, at length one. */
function unitMean(rows: Float32Array[]): Float32Array {
  const sum = Float64Array.from(rows[0] as Float32Array, (_, i) => rows.reduce((total, row) => total + (row[i] as number), 0))
  return Float32Array.from(sum, (value) => value / Math.hypot(...sum))
}

const near = (a: Float32Array | undefined, b: Float32Array | undefined, tolerance = 1e-6) => {
  assert.ok(a && b)
  assert.ok(largestDifference(a, b) <= tolerance, `they differ by ${largestDifference(a, b)}`)
}

test('names keep their order, and so do scores', async () => {
  const names = ['television', 'elephant', 'panda', 'cat']
  const classes = await encode(names)
  assert.equal(classes.names, names)
  assert.equal(classes.background, background)
  const scores = await scoresOf(classes)
  assert.is(scores.length, 4)
  near((await scoresOf(await encode([...names].reverse()))).reverse(), scores)
  assert.is(new Set(scores).size, 4)
})

test('without options there are the VOC background words and the template of the paper', async () => {
  const classes = await segmenter.encodeClasses(['elephant', 'television'])
  assert.equal(classes.background, backgrounds.voc)
  const explicit = { background: backgrounds.voc, template: 'a clean origami {}.', fusion: 'sentence' } as const
  const expected = await scoresOf(await segmenter.encodeClasses(['elephant', 'television'], explicit))
  assert.equal(await scoresOf(classes), expected)
})

test('one class with background words has a score below 1, and the scores of two without sum to 1', async () => {
  const [alone] = await scoresOf(await encode(['elephant']))
  assert.ok(alone !== undefined && alone > 0 && alone < 1)
  const [a, b] = await scoresOf(await encode(['elephant', 'cat'], { background: [] }))
  assert.ok(Math.abs((a as number) + (b as number) - 1) < 1e-6)
})

test('254 classes are encoded and scored, 255 are refused', async () => {
  const names = Array.from({ length: 255 }, (_, i) => `thing number ${i}`)
  const scores = await scoresOf(await encode(names.slice(0, 254)))
  assert.is(scores.length, 254)
  const sum = scores.reduce((a, b) => a + b)
  assert.ok(scores.every((score) => score > 0) && sum < 1, `they add up to ${sum}`)
  await rejects(encode(names), 'ERR_INVALID_ARG', 'classes has 255 elements; expected 1 to 254')
})

test('a word takes the place of the braces in the template', async () => {
  const plain = await scoresOf(await encode(['cat', 'elephant'], { template: '{}' }))
  assert.not.equal(plain, await scoresOf(await encode(['cat', 'elephant'])))
  const filled = ['a photo of a cat.', 'a photo of a elephant.']
  const byHand = await encode(filled, { template: '{}', background: background.map((word) => `a photo of a ${word}.`) })
  assert.equal(await scoresOf(await encode(['cat', 'elephant'], { template: 'a photo of a {}.' })), await scoresOf(byHand))
})

test('synonyms replace the name of a class', async () => {
  const classes = await encode([{ name: 'beast', synonyms: ['elephant'] }, { name: 'panda' }])
  assert.equal(classes.names, ['beast', 'panda'])
  assert.equal(await scoresOf(classes), await scoresOf(await encode(['elephant', 'panda'])))
})

const synonyms = ['elephant', 'mammoth', 'animal with a trunk']

test("'sentence' joins synonyms by commas in one prompt", async () => {
  const fused = await encode([{ name: 'elephant', synonyms }, 'panda'], { fusion: 'sentence' })
  const joined = await encode(['elephant,mammoth,animal with a trunk', 'panda'])
  assert.equal(await scoresOf(fused), await scoresOf(joined))
  assert.not.equal(await scoresOf(fused), await scoresOf(await encode(['elephant', 'panda'])))
})

test("'feature' averages the unit embeddings of the synonyms", async () => {
  const fused = await save(await encode([{ name: 'elephant', synonyms }, 'panda'], { fusion: 'feature' }))
  const single = await save(await encode([...synonyms, 'panda']))
  const rows = single.rows('rows')
  for (const row of rows) assert.ok(Math.abs(Math.hypot(...row) - 1) < 1e-6)
  near(fused.rows('rows')[0], unitMean(rows.slice(0, 3)))
  near(fused.rows('rows')[1], rows[3])
})

test("'cam' keeps a row for each synonym, scores their mean, and adds their maps", async () => {
  const classes = await encode([{ name: 'elephant', synonyms: synonyms.slice(0, 2) }], { fusion: 'cam' })
  const fused = await save(classes)
  const apart = await encode(synonyms.slice(0, 2))
  const single = await save(apart)
  assert.equal(fused.header.first_row?.shape, [2])
  assert.equal(fused.rows('rows'), single.rows('rows'))
  const [together, first, second] = await Promise.all([segment(classes), segment(apart, [0]), segment(apart, [1])])
  // Alone against the background a label has odds e^(its logit) to the background's sum: those of the mean logit are their geometric mean.
  const odds = ({ scores: [p = 0] }: { scores: Float32Array }) => p / (1 - p)
  assert.ok(Math.abs(odds(together) / Math.sqrt(odds(first) * odds(second)) - 1) < 1e-4)
  // Maps are min-max normalised, so that the sum is known up to a factor and an offset: fitted here.
  const sum = (first.cams as Float32Array).map((value, i) => value + ((second.cams as Float32Array)[i] as number))
  const mean = (values: Float32Array) => values.reduce((a, b) => a + b, 0) / values.length
  const cams = together.cams as Float32Array
  const [ofSum, ofCams] = [mean(sum), mean(cams)]
  const covariance = sum.reduce((total, value, i) => total + (value - ofSum) * ((cams[i] as number) - ofCams), 0)
  const factor = covariance / sum.reduce((total, value) => total + (value - ofSum) ** 2, 0)
  assert.ok(factor > 0.4 && factor < 2)
  near(
    sum.map((value) => (value - ofSum) * factor + ofCams),
    cams,
    1e-4,
  )
})

test('the three fusions differ only for classes with synonyms', async () => {
  const fusions = ['sentence', 'feature', 'cam'] as const
  const scores = async (classes: ClassSpec[]) =>
    Promise.all(fusions.map(async (fusion) => [...(await scoresOf(await encode(classes, { fusion })))].map(String)))
  assert.is(new Set((await scores([{ name: 'elephant', synonyms }, 'panda'])).map(String)).size, 3)
  assert.is(new Set((await scores(['elephant', 'panda'])).map(String)).size, 1)
})

test('several templates are averaged as unit embeddings, for classes and background words', async () => {
  const list = templates.imagenet.slice(0, 3)
  const together = await save(await encode(['elephant', 'panda'], { template: list }))
  const apart = await Promise.all(
    list.map((template, i) =>
      encode(['elephant', 'panda'], { template }).then(async (classes) => {
        const file = join(folder, `template${i}.safetensors`)
        await classes.save(file)
        return new SavedClasses(file)
      }),
    ),
  )
  for (const name of ['rows', 'background'] as const) {
    assert.is(together.rows(name).length, name === 'rows' ? 2 : 3)
    for (const [i, row] of together.rows(name).entries())
      near(row, unitMean(apart.map((set) => set.rows(name)[i] as Float32Array)))
  }
})

test('a background word that is also a class, in any spelling, is dropped and listed', async () => {
  const words = ['sky', 'Elephant ', 'grass', 'mammoth', 'wall']
  const classes = await encode([{ name: 'elephant', synonyms: ['elephant', 'Mammoth'] }, 'panda'], { background: words })
  assert.equal(classes.background, ['sky', 'grass', 'wall'])
  assert.equal(classes.droppedBackground, ['Elephant ', 'mammoth'])
  const same = await encode([{ name: 'elephant', synonyms: ['elephant', 'Mammoth'] }, 'panda'])
  assert.equal(same.droppedBackground, [])
  assert.equal(await scoresOf(classes), await scoresOf(same))
})

test('a class set cannot be changed, and later changes of the arguments have no effect', async () => {
  const names: ClassSpec[] = ['elephant', { name: 'panda', synonyms: ['panda'] }]
  const words = [...background]
  const list = ['{}', 'a {}.']
  const encoding = segmenter.encodeClasses(names, { background: words, template: list })
  names[0] = 'cat'
  words.length = 0
  list[0] = 'none'
  const classes = await encoding
  list[1] = 'none'
  assert.equal(classes.names, ['elephant', 'panda'])
  assert.equal(classes.background, background)
  assert.is((await save(classes)).header.__metadata__.templates, '["{}","a {}."]')
  assert.ok(Object.isFrozen(classes))
  for (const list of [classes.names, classes.background, classes.droppedBackground] as string[][])
    assert.throws(() => list.push('cat'), TypeError)
  assert.not(Reflect.set(classes, 'names', ['cat', 'dog']))
})

test('many images can use one class set at the same time', async () => {
  const classes = await encode(['elephant', 'panda'])
  const expected = await scoresOf(classes)
  for (const scores of await Promise.all([1, 2, 3, 4, 5].map(() => scoresOf(classes)))) assert.equal(scores, expected)
})

test('an abort before and during the call rejects with the reason, and the segmenter keeps working', async () => {
  const expected = await scoresOf(await encode(['elephant', 'panda']))
  const reason = new Error('another question')
  assert.is(await reasonOf(encode(['cat'], { signal: AbortSignal.abort(reason) })), reason)
  const controller = new AbortController()
  const many = Array.from({ length: 254 }, (_, i) => `thing ${i}`)
  const encoding = encode(many, { signal: controller.signal, template: templates.imagenet }) // takes seconds
  setImmediate(() => controller.abort(reason))
  assert.is(await reasonOf(encoding), reason)
  assert.equal(await scoresOf(await encode(['elephant', 'panda'])), expected)
})

test('words give the same embeddings, bit for bit, whether they are encoded alone, with others, or were known', async () => {
  const own = await load()
  const alone = await save(await own.encodeClasses(['panda'], { background }))
  const known = await save(await own.encodeClasses(['panda'], { background }))
  const other = await load()
  const others = await save(await other.encodeClasses(['cat', 'panda', 'television'], { background }))
  assert.equal(known.rows('rows'), alone.rows('rows'))
  assert.equal(others.rows('rows')[1], alone.rows('rows')[0])
  await Promise.all([own.close(), other.close()])
})

test.run()
