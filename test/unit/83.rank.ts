// clip-es prompts: how candidates become texts, without a model.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Candidate, Encoding } from '../../cli/src/prompts/candidates.js'
import { checkCandidates, type RankParts, rankCandidates } from '../../cli/src/prompts/rank.js'
import { ClassSet } from '../../ts/classes/class_set.js'
import type { ClassSpec, EncodeClassesOptions, Segmenter } from '../../ts/index.js'

const encoding: Encoding = { template: 'a {}.', background: ['sky'], fusion: 'sentence' }
const vectors: Record<string, [number, number]> = { cat: [1, 0], kitten: [0.6, 0.8], dog: [0, 1], sky: [0.8, 0.6] }

/** Has a fixed vector for each word in place of a text tower, and counts the calls. */
function fakeSegmenter() {
  const calls: string[] = []
  const encodeClasses = async (specs: readonly ClassSpec[], { background = [] }: EncodeClassesOptions): Promise<ClassSet> => {
    const words = specs.map((spec) => (typeof spec === 'string' ? spec : (spec.synonyms?.[0] ?? spec.name)))
    calls.push(words.join())
    const rows = (of: readonly string[]) => Float32Array.from(of.flatMap((word) => vectors[word] as [number, number]))
    return ClassSet.create({
      ...{ names: words, background, droppedBackground: [], templates: ['a {}.'], fusion: 'sentence', fingerprint: '' },
      ...{ embedding: 2, rows: rows(words), backgroundRows: rows(background), labelThresholds: words.map(() => undefined) },
      firstRow: Int32Array.from({ length: words.length + 1 }, (_, i) => i),
    })
  }
  return { segmenter: { encodeClasses } as unknown as Segmenter, calls }
}

const photo = (labels: number[]) => ({ id: 'x', photo: '/x.jpg', labels })
const parts = (segmenter: Segmenter, softmax: RankParts['softmax']): RankParts => ({
  segmenter,
  file: { classes: [{ name: 'cat' }, { name: 'dog' }] },
  photos: new Map([[photo([0, 1]), { image: Float32Array.of(1, 0), logitScale: 1 }]]),
  by: 'sharpness',
  softmax,
  signal: new AbortController().signal,
})

/** The mean probability of the two labels. */
const meanOf = (label: readonly number[], all: readonly number[]): number => {
  const sum = all.reduce((total, logit) => total + Math.exp(logit), 0)
  return label.reduce((total, logit) => total + Math.exp(logit) / sum, 0) / label.length
}
const near = (a: number | undefined, b: number) => assert.ok(Math.abs((a as number) - b) < 1e-6, `${a} and ${b}`)

test('background words are in the softmax only with background', async () => {
  const candidates: Candidate[] = [{ name: 'one', encoding }]
  for (const [softmax, texts] of [
    ['classes alone', [1, 0]],
    ['with background', [1, 0, 0.8]],
  ] as const) {
    const [ranking] = await rankCandidates(candidates, parts(fakeSegmenter().segmenter, softmax), () => {})
    near(ranking?.candidates[0]?.probability, meanOf([1, 0], texts))
  }
})

test('a candidate with its own words replaces one class, and the other texts are encoded once', async () => {
  const { segmenter, calls } = fakeSegmenter()
  const candidates: Candidate[] = ['kitten', 'cat'].map((word) => ({
    name: word,
    encoding,
    words: { index: 0, synonyms: [word] },
  }))
  let steps = 0
  const [ranking] = await rankCandidates(candidates, parts(segmenter, 'classes alone'), () => steps++)
  assert.equal(calls, ['cat,dog', 'kitten', 'cat'])
  assert.is(steps, 2)
  assert.is(ranking?.class, 'cat')
  const scores = Object.fromEntries(ranking?.candidates.map(({ name, probability }) => [name, probability]) ?? [])
  near(scores.kitten, meanOf([0.6, 0], [0.6, 0]))
  near(scores.cat, meanOf([1, 0], [1, 0]))
  // The labels of the photo are more alike with 'kitten', so it is the sharper one.
  assert.equal(
    ranking?.candidates.map(({ name }) => name),
    ['kitten', 'cat'],
  )
})

test('a class that no photo shows is not ranked', async () => {
  const { segmenter } = fakeSegmenter()
  const given = {
    ...parts(segmenter, 'classes alone'),
    photos: new Map([[photo([1]), { image: Float32Array.of(1, 0), logitScale: 1 }]]),
  }
  const candidates: Candidate[] = [{ name: 'kitten', encoding, words: { index: 0, synonyms: ['kitten'] } }]
  assert.equal(await rankCandidates(candidates, given, () => {}), [])
})

test('a prompt that is longer than the context of the model is refused before photos are encoded', () => {
  const candidates: Candidate[] = [{ name: 'one', encoding }]
  const file = { classes: [{ name: 'cat' }] }
  checkCandidates(candidates, file, 6)
  assert.throws(
    () => checkCandidates(candidates, file, 4),
    /the prompt "a cat\." has 3 tokens, 1 more than the model's 2 \+ start and end/,
  )
})

test.run()
