// Which labels are found in a photo, with a stand-in for native code.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClassSet } from '../../ts/classes/class_set.js'
import { competingTexts, textProbabilities, textProbabilitiesInTurns } from '../../ts/classes/text_scores.js'
import type { NativeEncodedImage, NativeImage } from '../../ts/engine/native.js'
import type { Caller, Photo, PhotoJobs } from '../../ts/engine/photo_jobs.js'
import { findPresence, meanDirection } from '../../ts/labels/auto.js'
import { segmentFound } from '../../ts/labels/segment_found.js'
import { prepareOutputs, resolveSegmentOptions } from '../../ts/segment/segment_options.js'
import { reasonOf } from './support.js'

const timings = (value: number) => ({
  ...{ queue: value, preprocess: value, encode: value, gradcam: value, refine: value, mask: value, crf: value },
})
const image: NativeImage = { data: new Uint8Array(400), width: 40, height: 10, channels: 1, rowBytes: 40, blueFirst: false }
const caller: Caller = { call: 'call()', signal: undefined, whenFull: 'reject' }

/** Classes and background words along the axes: the first class is [1, 0, 0, …]. */
function axes(names: string[], background: string[], thresholds: (number | undefined)[] = names.map(() => undefined)): ClassSet {
  const embedding = names.length + background.length
  const rows = Float32Array.from({ length: embedding ** 2 }, (_, i) => (i % (embedding + 1) ? 0 : 1))
  return ClassSet.create({
    ...{ names, background, droppedBackground: [], templates: ['{}'], fusion: 'sentence', fingerprint: 'f', embedding },
    ...{ rows: rows.subarray(0, names.length * embedding), firstRow: Int32Array.from([...names.keys(), names.length]) },
    ...{ backgroundRows: rows.subarray(names.length * embedding), labelThresholds: thresholds },
  })
}

const softmax = (logits: number[]) => {
  const powers = logits.map(Math.exp)
  return powers.map((power) => power / powers.reduce((a, b) => a + b))
}
const near = (found: ArrayLike<number>, wanted: readonly number[]) => {
  assert.is(found.length, wanted.length)
  for (const [i, value] of wanted.entries())
    assert.ok(Math.abs((found[i] as number) - value) < 1e-6, `${i}: ${found[i]}, not ${value}`)
}

test('texts that compete are the classes, each the mean of its rows, and the background words behind them', () => {
  const classes = ClassSet.create({
    ...{ names: ['a', 'b'], background: ['c'], droppedBackground: [], templates: [], fusion: 'cam', fingerprint: 'f' },
    ...{ embedding: 2, rows: Float32Array.of(1, 2, 3, 4, 7, 8), firstRow: Int32Array.of(0, 2, 3) },
    ...{ backgroundRows: Float32Array.of(5, 6), labelThresholds: [undefined, undefined] },
  })
  const alone = { rows: Float32Array.of(2, 3, 7, 8), classes: 2, embedding: 2 }
  assert.equal(competingTexts(classes, 'classes alone'), alone)
  assert.equal(competingTexts(classes, 'with background'), { ...alone, rows: Float32Array.of(2, 3, 7, 8, 5, 6) })
})

test('many patches are scored in slices, between which other work goes on and an abort is seen', async () => {
  const texts = { rows: new Float32Array(2000 * 400).map((_, i) => (i % 7) / 7), classes: 10, embedding: 400 }
  const patches = new Float32Array(12 * 400).map((_, i) => (i % 5) / 50)
  let turns = 0
  const count = setInterval(() => turns++, 0)
  const found = await textProbabilitiesInTurns(patches, texts, 2, undefined)
  clearInterval(count)
  assert.equal(found, textProbabilities(patches, texts, 2))
  assert.ok(turns > 0)
  const controller = new AbortController()
  const stopped = textProbabilitiesInTurns(patches, texts, 2, controller.signal)
  controller.abort('stop')
  assert.is(await reasonOf(stopped), 'stop')
  assert.is(await reasonOf(textProbabilitiesInTurns(patches, texts, 2, AbortSignal.abort('early'))), 'early')
})

test('the mean direction of rows has length one', () => {
  near(meanDirection(Float32Array.of(1, 0, 0, 0, 1, 0), 3), [Math.SQRT1_2, Math.SQRT1_2, 0])
  near(meanDirection(Float32Array.of(3, 4), 2), [0.6, 0.8])
})

/** Four patches side by side, each with the logits of the texts, and crops that all look alike. */
function scene(logits: number[][], crop: number[]) {
  const embedding = crop.length
  const disposed: unknown[] = []
  const encoded = { gridWidth: 4, gridHeight: 1, timings: timings(100), dispose: () => disposed.push(1) }
  const boxes: number[][] = []
  const jobs = {
    callers: [] as Caller[],
    segmented: [] as unknown[],
    async encode(_: NativeImage, by: Caller) {
      jobs.callers.push(by)
      return encoded
    },
    async embeddings(_: unknown, patches: boolean, by: Caller) {
      jobs.callers.push(by)
      assert.is(patches, true)
      return { patches: Float32Array.from(logits.flat()), logitScale: 1 }
    },
    async embedCrops(_: NativeImage, all: { left: number; top: number; right: number; bottom: number }[], by: Caller) {
      jobs.callers.push(by)
      boxes.push(...all.map(({ left, top, right, bottom }) => [left, top, right, bottom]))
      return {
        embeddings: Float32Array.from({ length: all.length * embedding }, (_, i) => crop[i % embedding] as number),
        timings: [timings(10)],
      }
    },
    async segment(photo: Photo, texts: unknown, _settings: unknown, _outputs: unknown, by: Caller) {
      jobs.callers.push(by)
      jobs.segmented.push([photo.encoded, texts])
      return timings(1)
    },
  }
  return { jobs, encoded: encoded as unknown as NativeEncodedImage, boxes, disposed, photos: jobs as unknown as PhotoJobs }
}

test('regions of the patches are cut out with two margins, and are evidence for who proposed them and for who fits best', async () => {
  const classes = axes(['cat', 'dog'], ['sky'])
  const [cat, sky] = [
    [9, 0, 0],
    [0, 0, 9],
  ]
  const { photos, encoded, boxes } = scene([cat, cat, sky, sky], [0.6, 0.8, 0])
  const { presence, timings: spent } = await findPresence(photos, { image, encoded }, classes, caller)
  // Patches are 10 pixels wide; the region is the two on the left, whose longer side has 20 pixels.
  assert.equal(boxes, [
    [0, 0, 23, 10],
    [0, 0, 26, 10],
  ])
  const [inCat = 0, inDog = 0] = softmax(cat)
  const crops = softmax([0.6, 0.8, 0])
  near(presence, [Math.sqrt((crops[0] as number) * inCat), Math.sqrt((crops[1] as number) * inDog)])
  assert.equal(spent, [timings(10)])
})

test('a class that no patch speaks for proposes no region, and equal regions are cut out once', async () => {
  const classes = axes(['cat', 'dog', 'cow'], ['sky'])
  const logit = (p: number) => Math.log(p)
  // At every patch alike, so that averages change nothing: the box is the whole photo for cat and dog.
  const patch = [0.3, 0.1, 0.08, 0.52].map(logit)
  const { photos, encoded, boxes } = scene([patch, patch, patch, patch], [0, 0, 0, 1])
  const { presence } = await findPresence(photos, { image, encoded }, classes, caller)
  assert.equal(boxes, [
    [0, 0, 40, 10],
    [0, 0, 40, 10],
  ])
  const crops = softmax([0, 0, 0, 1])
  near(presence, [Math.sqrt((crops[0] as number) * 0.3), Math.sqrt((crops[1] as number) * 0.1), 0])
  const apart = scene(
    [
      [9, 0, 0, 0],
      [9, 0, 0, 0],
      [0, 9, 0, 0],
      [0, 9, 0, 0],
    ],
    [0, 0, 0, 1],
  )
  await findPresence(apart.photos, { image, encoded: apart.encoded }, classes, caller)
  assert.equal(apart.boxes, [
    [0, 0, 23, 10],
    [0, 0, 26, 10],
    [17, 0, 40, 10],
    [14, 0, 40, 10],
  ])
})

const found = async (made: ReturnType<typeof scene>, classes: ClassSet, photo: Photo, options: object) => {
  const resolved = resolveSegmentOptions('call()', { labels: 'auto', ...options }, classes)
  return await segmentFound(made.photos, photo, classes, resolved, prepareOutputs('call()', resolved, 400, undefined), caller)
}

test('classes are segmented whose presence reaches their thresholds; only the first job can be refused by a full queue', async () => {
  const classes = axes(['cat', 'dog'], ['sky'], [undefined, 0.005])
  const made = scene(
    [
      [9, 0, 0],
      [9, 0, 0],
      [0, 0, 9],
      [0, 0, 9],
    ],
    [0.6, 0.8, 0],
  )
  const result = await found(made, classes, { image }, {})
  assert.equal(result.labels, ['cat', 'dog'])
  const { presence } = await findPresence(made.photos, { image, encoded: made.encoded }, classes, caller)
  assert.equal(result.presence, Float32Array.from(presence))
  assert.equal(result.timings, timings(111))
  assert.equal(
    made.jobs.callers.slice(0, 4).map(({ whenFull }) => whenFull),
    ['reject', 'wait', 'wait', 'wait'],
  )
  assert.equal(made.jobs.segmented, [[made.encoded, ClassSet.texts(classes, [0, 1])]])
  assert.is(made.disposed.length, 1)
  const exact = presence[0] as number
  assert.equal((await found(made, classes, { image }, { labelThreshold: exact })).labels, ['cat'])
  assert.equal((await found(made, classes, { image }, { labelThreshold: exact + 1e-9 })).labels, [])
})

const catAboveSky = () =>
  scene(
    [
      [9, 0],
      [9, 0],
      [0, 9],
      [0, 9],
    ],
    [1, 0],
  )

test('an encoded photo is kept, and what was encoded for the call is disposed of, also after a failure', async () => {
  const classes = axes(['cat'], ['sky'])
  const made = catAboveSky()
  const kept = await found(made, classes, { image, encoded: made.encoded }, {})
  assert.equal([kept.timings, made.disposed.length], [timings(11), 0])
  made.jobs.embedCrops = () => Promise.reject(new Error('no'))
  assert.is(((await reasonOf(found(made, classes, { image }, {}))) as Error).message, 'no')
  assert.is(made.disposed.length, 1)
})

test('where nothing is found all is background, of which the confidence is one', async () => {
  const classes = axes(['cat'], ['sky'])
  const made = catAboveSky()
  const output = { mask: new Uint8Array(400).fill(7), confidence: new Float32Array(400) }
  const result = await found(made, classes, { image }, { labelThreshold: 1, output, include: ['cams'] })
  assert.equal(result, {
    ...{ width: 40, height: 10, labels: [], scores: new Float32Array(), presence: new Float32Array() },
    ...{ mask: new Uint8Array(400), confidence: new Float32Array(400).fill(1), cams: new Float32Array(), timings: timings(110) },
  })
  assert.is(result.mask, output.mask)
  const plain = await found(made, classes, { image }, { labelThreshold: 1 })
  assert.equal(
    ['confidence', 'cams'].map((part) => part in plain),
    [false, false],
  )
})

test.run()
