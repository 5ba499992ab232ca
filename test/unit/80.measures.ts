import { appendFileSync, existsSync, readFileSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { candidatesOf, type Encoding } from '../../cli/src/prompts/candidates.js'
import { encoderKey, FeatureCache } from '../../cli/src/prompts/feature_cache.js'
import { entropy, entropyOf, sharpness, varianceToMean } from '../../cli/src/prompts/measures.js'
import { templatesNamed } from '../../cli/src/prompts/plan.js'
import { rankingTable, textBar } from '../../cli/src/prompts/table.js'
import { photoState } from '../../cli/src/results/journal.js'
import { textProbabilities } from '../../ts/classes/text_scores.js'
import { temporaryFolder } from './support.js'

const near = (a: number, b: number, by = 1e-12) => assert.ok(Math.abs(a - b) <= by, `${a} against ${b}`)

test('sharpness is variance / mean, as computed by hand', () => {
  near(varianceToMean([0.2, 0.4]), 0.01 / 0.3)
  near(varianceToMean([0.5, 0.3, 0.1]), 0.08 / 3 / 0.3)
  assert.is(varianceToMean([0.25, 0.25]), 0)
  assert.is(varianceToMean([0, 0]), 0)
})

test('sharpness is the sum over photos, and its mean', () => {
  const { sum, mean, photos, probability } = sharpness([
    [0.2, 0.4],
    [0.5, 0.3, 0.1],
    [0.6, 0.6],
  ])
  near(sum, 1 / 30 + 4 / 45)
  near(mean, (1 / 30 + 4 / 45) / 3)
  near(probability, 0.4)
  assert.is(photos, 3)
})

test('entropy is 0 for a certain class and log n for n equal ones, and its mean is over photos', () => {
  assert.is(entropyOf([1, 0, 0]), 0)
  near(entropyOf([0.25, 0.25, 0.25, 0.25]), Math.log(4))
  near(entropyOf([0.5, 0.25, 0.25]), 1.5 * Math.log(2))
  const { sum, mean, photos, probability } = entropy([Float64Array.of(0.5, 0.5), Float64Array.of(1, 0)])
  near(sum, Math.log(2))
  near(mean, Math.log(2) / 2)
  near(probability, 0.75)
  assert.is(photos, 2)
})

test('probabilities are the softmax of scaled products over classes and background, as computed by hand', () => {
  const texts = { rows: Float32Array.from([1, 0, 0, 1, 0.6, 0.8]), classes: 2, embedding: 2 }
  const found = textProbabilities(Float32Array.from([1, 0, 0, 1]), texts, 10)
  const powers = [
    [1, 0, 0.6],
    [0, 1, 0.8],
  ].map((row) => row.map((product) => Math.exp(10 * product)))
  const wanted = powers.flatMap((row) => row.map((power) => power / row.reduce((a, b) => a + b)))
  for (const [i, p] of wanted.entries()) near(found[i] as number, p, 1e-6)
})

test('small probabilities are not rounded to 0', () => {
  const texts = { rows: Float32Array.from([1, -1]), classes: 2, embedding: 1 }
  const found = textProbabilities(Float32Array.from([1]), texts, 100)
  assert.ok((found[1] as number) > 1e-88 && (found[1] as number) < 1e-86)
})

// ---------------------------------------------------------------- candidates
const base: Encoding = { template: 'a {}.', background: ['sky'], fusion: 'sentence' }
const file = { background: ['sky'], classes: [{ name: 'cat', synonyms: ['cat', 'kitten'] }, { name: 'dog' }] }
const lists = { templates: ['a {}.', 'the {}.', 'a {}.'], backgrounds: [['snow', 'ice']] }
const names = (rank: Parameters<typeof candidatesOf>[0]) => candidatesOf(rank, file, base, lists).map(({ name }) => name)

test('candidates are unique, and each changes one setting', () => {
  assert.equal(names('templates'), ['a {}.', 'the {}.'])
  assert.equal(names('fusions'), ['sentence', 'feature', 'cam'])
  assert.equal(names('synonyms'), ['cat', 'kitten', 'cat, kitten (sentence)'])
  assert.equal(names('backgrounds'), ['none', 'of the class file', "the paper's for VOC", "the paper's for COCO", 'snow, ice'])
  assert.equal(candidatesOf('fusions', file, base, lists)[1]?.encoding, { ...base, fusion: 'feature' })
  assert.equal(candidatesOf('synonyms', file, base, lists)[1]?.words, { index: 0, synonyms: ['kitten'] })
})

test('nothing to compare is an error with the remedy', () => {
  const plain = { classes: [{ name: 'cat' }] }
  assert.throws(() => candidatesOf('synonyms', plain, base, lists), /no class of the class file has synonyms/)
  assert.throws(() => candidatesOf('fusions', plain, base, lists), /no class of the class file has two synonyms/)
  assert.throws(
    () => candidatesOf('templates', plain, base, { ...lists, templates: ['{}'] }),
    /name more of them with --templates/,
  )
})

test('templates come from a name or a file', () => {
  assert.is(templatesNamed('imagenet').length, 80)
  assert.equal(templatesNamed('paper'), ['a clean origami {}.'])
  assert.is(templatesNamed('all').length, 81)
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'a.json'), '["{}", "a {}."]')
  writeFileSync(join(folder, 'a.txt'), '\uFEFF{}\r\n\r\na {}.\r\n')
  writeFileSync(join(folder, 'bad.txt'), 'a {}.\nnone\n')
  assert.equal(templatesNamed(join(folder, 'a.json')), ['{}', 'a {}.'])
  assert.equal(templatesNamed(join(folder, 'a.txt')), ['{}', 'a {}.'])
  assert.throws(() => templatesNamed(join(folder, 'bad.txt')), /bad\.txt: the template 'none' must be a string with \{\}/)
  assert.throws(() => templatesNamed('imagnet'), /imagnet: ENOENT.*known by name: paper, imagenet, all/)
})

test('the length of a bar is its share, in eighths', () => {
  assert.is(textBar(1), '█'.repeat(20))
  assert.is(textBar(0.5), '█'.repeat(10))
  assert.is(textBar(1 / 160), '▏')
  assert.is(textBar(0), '')
  const some = { sum: 0.2, photos: 2, probability: 0.5 }
  const table = rankingTable([
    {
      class: 'cat',
      candidates: [
        { name: 'a', mean: 0.1, ...some },
        { name: 'b', mean: 0.2, ...some },
      ],
    },
  ])
  assert.match(
    table,
    /^cat, over 2 photos\n {3}1 {5}0\.10000 {2}█{10} +0\.50000 {2}a\n {3}2 {5}0\.20000 {2}█{20} +0\.50000 {2}b$/,
  )
})

// ---------------------------------------------------------------- the cache
const embedding = (first: number) => ({ image: Float32Array.from([first, 0.1, -1e-30]), logitScale: 100 })

function cachePlace() {
  const folder = temporaryFolder()
  const photo = join(folder, 'x.jpg')
  writeFileSync(photo, 'photo')
  return { file: join(folder, 'deep/cache.jsonl'), photo, state: photoState(photo) }
}

test('a cached embedding has the same bits, and only for the same photo and encoder', () => {
  const { file, photo, state } = cachePlace()
  const key = encoderKey('model', 1024)
  new FeatureCache(file, key, 3).add(photo, state, embedding(0.3))
  const again = new FeatureCache(file, key, 3)
  assert.equal(again.get(photo), embedding(0.3))
  assert.is(again.get(`${photo}.png`), undefined)
  assert.is(new FeatureCache(file, encoderKey('model', 512), 3).get(photo), undefined)
  assert.is(new FeatureCache(file, key, 4).get(photo), undefined)
  utimesSync(photo, 1, 1)
  assert.is(again.get(photo), undefined)
})

test('a truncated line is ignored, and the next one is read', () => {
  const { file, photo, state } = cachePlace()
  const cache = new FeatureCache(file, 'key', 3)
  cache.add('other', state, embedding(1))
  cache.add(photo, state, embedding(2))
  const whole = readFileSync(file).length
  for (const cut of [1, 2, 30, 90]) {
    truncateSync(file, whole - cut)
    // Without its line end alone, a line is whole.
    assert.equal(new FeatureCache(file, 'key', 3).get(photo), cut === 1 ? embedding(2) : undefined, `${cut}`)
    new FeatureCache(file, 'key', 3).add(photo, state, embedding(2))
    assert.equal(new FeatureCache(file, 'key', 3).get(photo), embedding(2))
    truncateSync(file, 0)
    const anew = new FeatureCache(file, 'key', 3)
    anew.add('other', state, embedding(1))
    anew.add(photo, state, embedding(2))
  }
})

test('a file that is not a cache is refused and not changed', () => {
  const { file, photo } = cachePlace()
  assert.throws(
    () => new FeatureCache(photo, 'key', 3),
    /x\.jpg \(it does not contain embeddings of clip-es\); name another file with --cache/,
  )
  assert.is(readFileSync(photo, 'utf8'), 'photo')
  assert.throws(() => new FeatureCache(join(photo, 'cache'), 'key', 3), /cannot be kept in .*x\.jpg\/cache/)
  assert.not(existsSync(file))
})

test('the last of several lines of a photo is used', () => {
  const { file, photo, state } = cachePlace()
  const cache = new FeatureCache(file, 'key', 3)
  cache.add(photo, state, embedding(1))
  cache.add(photo, state, embedding(2))
  appendFileSync(file, '{"photo":1}\nnull\n')
  assert.equal(new FeatureCache(file, 'key', 3).get(photo), embedding(2))
})

test.run()
