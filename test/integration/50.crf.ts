import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { iou } from '../../cli/src/metrics/iou.js'
import { type ClassSet, type CrfOptions, type DenseCrfInput, denseCrf, type Segmenter } from '../../ts/index.js'
import { readClassFile } from '../../ts/photos/class_file.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { testIf } from '../test_if.js'
import { largestDifference, load, reasonOf, rejects, root, type Scene, scene } from './support.js'

let segmenter: Segmenter
let photo: Scene
let classes: ClassSet

test.before(async () => {
  segmenter = await load()
  photo = await scene('scene10')
  classes = await segmenter.encodeClasses(photo.labels, { background: photo.background })
})

test.after(() => segmenter.close())

/** Scores as the paper makes them: the background is what the largest map leaves. */
function scoresOf(cams: Float32Array, labels: number): Float32Array {
  const pixels = cams.length / labels
  const scores = new Float32Array((labels + 1) * pixels)
  scores.set(cams, pixels)
  for (let i = 0; i < pixels; i++) {
    let largest = 0
    for (let k = 0; k < labels; k++) largest = Math.max(largest, cams[k * pixels + i] as number)
    scores[i] = 1 - largest
  }
  return scores
}

const input = (scores: Float32Array, labels: number): DenseCrfInput => ({
  rgb: photo.data,
  width: photo.width,
  height: photo.height,
  scores,
  labels,
})

test('over the twelve scenes the CRF improves the mean IoU of the objects', async () => {
  const emoji = readClassFile(join(root, 'models/emoji-classes.json'))
  const words = emoji.classes.map(({ name, synonyms }) => (synonyms ? { name, synonyms } : name))
  const all = await segmenter.encodeClasses(words, {
    template: emoji.template,
    background: emoji.background,
    fusion: emoji.fusion,
  })
  const found: Record<'plain' | 'crf', number[]> = { plain: [], crf: [] }
  for (let n = 1; n <= 12; n++) {
    const name = `scene${String(n).padStart(2, '0')}`
    const picture = await scene(name)
    const truth = await readMask(readFileSync(join(root, `models/scenes/${name}_mask.png`)))
    for (const [kind, crf] of [
      ['plain', false],
      ['crf', true],
    ] as const) {
      const { mask } = await segmenter.segment(picture, all, { labels: picture.labels, crf })
      const own = mask.map((value) => (value ? picture.labels.indexOf(all.names[value - 1] as string) + 1 : 0))
      found[kind].push(...picture.labels.map((_, k) => iou(own, truth.data, k + 1)))
    }
  }
  const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length
  console.log(
    `  mean IoU of ${found.crf.length} objects: ${mean(found.plain).toFixed(3)}, with the CRF ${mean(found.crf).toFixed(3)}`,
  )
  assert.is(found.crf.length, 25)
  assert.ok(mean(found.crf) > mean(found.plain) + 0.05)
})

test('with the CRF the largest probability is the confidence, and timings has its time', async () => {
  const plain = await segmenter.segment(photo, classes)
  const sharp = await segmenter.segment(photo, classes, { crf: true, include: ['confidence'] })
  assert.ok(sharp.confidence?.every((p) => p > 1 / 2 - 1e-6 && p <= 1))
  assert.ok(sharp.timings.crf > 0)
  assert.is(plain.timings.crf, 0)
})

test('segment() with crf is denseCrf() of its own maps', async () => {
  const { cams } = await segmenter.segment(photo, classes, { include: ['cams'] })
  const whole = await segmenter.segment(photo, classes, { crf: true, include: ['confidence', 'cams'] })
  const alone = await denseCrf(input(scoresOf(cams as Float32Array, classes.names.length), classes.names.length + 1))
  assert.equal(alone.mask, whole.mask)
  assert.ok(largestDifference(alone.confidence, whole.confidence as Float32Array) < 1e-5)
  assert.equal(whole.cams, cams)
})

test('an encoded photo keeps its own pixels for the CRF', async () => {
  const data = Uint8Array.from(photo.data)
  const wanted = await segmenter.segment(photo, classes, { crf: true })
  const encoded = await segmenter.encode({ ...photo, data })
  data.fill(0)
  assert.equal((await encoded.segment(classes, { crf: true })).mask, wanted.mask)
})

test('marginals sum to one at every pixel, and without rounds they are the scores', async () => {
  const pixels = photo.width * photo.height
  const scores = Float32Array.from({ length: 3 * pixels }, (_, i) => ((i * 7919) % 1000) / 1000 + 1e-3)
  const { marginals } = await denseCrf(input(scores, 3), { rounds: 3 })
  const still = await denseCrf(input(scores, 3), { rounds: 0 })
  for (let i = 0; i < pixels; i += 97) {
    const [a = 0, b = 0, c = 0] = [0, 1, 2].map((label) => marginals[label * pixels + i])
    assert.ok(Math.abs(a + b + c - 1) < 1e-5)
    const sum = [0, 1, 2].reduce((total, label) => total + (scores[label * pixels + i] as number), 0)
    assert.ok(Math.abs((still.marginals[i] as number) - (scores[i] as number) / sum) < 1e-5)
  }
})

test('settings change the result, and the released quirk is one of them', async () => {
  const { cams } = await segmenter.segment(photo, classes, { include: ['cams'] })
  const run = (crf: CrfOptions) =>
    denseCrf(input(scoresOf(cams as Float32Array, classes.names.length), classes.names.length + 1), crf)
  const { marginals } = await run({})
  for (const other of [{ rounds: 1 }, { bilateralWeight: 1 }, { positionSigma: 5 }, { released: true }] satisfies CrfOptions[])
    assert.ok(largestDifference(marginals, (await run(other)).marginals) > 1e-3, JSON.stringify(other))
})

test('one label, and a photo of one pixel, give the obvious result', async () => {
  const one = await denseCrf({ rgb: new Uint8Array(3), width: 1, height: 1, scores: Float32Array.of(0.25, 0.75), labels: 2 })
  assert.equal([...one.mask], [1])
  assert.ok((one.marginals[1] as number) > 0.75) // a pixel is its own neighbour in the usual filter, and agrees with itself
  const sure = await denseCrf({
    rgb: photo.data,
    width: photo.width,
    height: photo.height,
    scores: new Float32Array(photo.width * photo.height).fill(0.3),
    labels: 1,
  })
  assert.ok(sure.marginals.every((p) => p === 1))
})

test('wrong input is refused with the value and what is needed, and the next call works', async () => {
  const scores = new Float32Array(2 * photo.width * photo.height).fill(0.5)
  const table: [Partial<DenseCrfInput>, CrfOptions, string][] = [
    [{ scores: scores.subarray(1) }, {}, '2 labels of 320 x 240 need 153600'],
    [{ scores: [...scores] as never }, {}, 'a Float32Array'],
    [{ labels: 0 }, {}, 'labels is 0'],
    [{ labels: 256 }, {}, 'labels is 256'],
    [{ rgb: photo.data.subarray(1) }, {}, 'image.data has 230399 bytes'],
    [{ rgb: new Uint8Array(320 * 240) }, {}, 'needs 230400 (RGB)'],
    [{ width: 0 }, {}, 'image.width is 0'],
    [{ scores: Float32Array.from(scores, (s, i) => (i === 5 ? Number.NaN : s)) }, {}, 'score'],
    [{ scores: Float32Array.from(scores, (s, i) => (i === 5 ? -1 : s)) }, {}, 'score'],
    [{}, { positionSigma: 0 }, 'positionSigma is 0'],
    [{}, { bilateralColourSigma: -3 }, 'bilateralColourSigma is -3'],
    [{}, { positionWeight: -1 }, 'positionWeight is -1'],
    [{}, { rounds: 1.5 }, 'rounds is 1.5'],
    [{}, { released: 1 as never }, 'released is 1'],
    [{}, { sigma: 1 } as never, "unknown option 'sigma'"],
  ]
  for (const [wrong, options, part] of table)
    await rejects(denseCrf({ ...input(scores, 2), ...wrong }, options), 'ERR_INVALID_ARG', part)
  await rejects(denseCrf(undefined as never), 'ERR_INVALID_ARG', 'input is undefined')
  assert.is((await denseCrf(input(scores, 2))).mask.length, photo.width * photo.height)
  for (const crf of [{ rounds: -1 }, { round: 1 } as never])
    await rejects(segmenter.segment(photo, classes, { crf }), 'ERR_INVALID_ARG', 'segment(): crf')
})

test('any number of threads gives the same result, also with more engines than are kept', async () => {
  const scores = Float32Array.from({ length: 2 * photo.width * photo.height }, (_, i) => (i % 7) / 7)
  const { mask, marginals } = await denseCrf(input(scores, 2), { rounds: 2 })
  const counts = [1, 2, 3, 4, 5, 6, 1, 2]
  const all = await Promise.all(counts.map((threads) => denseCrf(input(scores, 2), { rounds: 2, threads })))
  for (const [i, result] of all.entries()) {
    assert.equal(result.mask, mask, `${counts[i]} threads`)
    assert.is(largestDifference(result.marginals, marginals), 0, `${counts[i]} threads`)
  }
  for (const threads of [0, 1.5, 1025, '2', null])
    await rejects(denseCrf(input(scores, 2), { threads: threads as number }), 'ERR_INVALID_ARG', 'denseCrf(): threads is')
  await rejects(denseCrf(input(scores, 2), { treads: 2 } as never), 'ERR_INVALID_ARG', "did you mean 'threads'?")
  await rejects(denseCrf(input(scores, 2), null as never), 'ERR_INVALID_ARG', 'options is null')
})

test('at most 256 calls wait, the next one is refused, and all others succeed', async () => {
  const small = { rgb: new Uint8Array(12), width: 2, height: 2, scores: new Float32Array(8).fill(0.5), labels: 2 }
  const outcomes = await Promise.allSettled(Array.from({ length: 300 }, () => denseCrf(small, { threads: 1 })))
  const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []))
  assert.is(refused.length, 300 - 256 - 1)
  for (const reason of refused)
    await rejects(Promise.reject(reason), 'ERR_QUEUE_FULL', '256 jobs wait already', 'before you call it again')
  assert.is((await denseCrf(small, { threads: 1 })).mask.length, 4)
})

test("an abort rejects with the signal's reason", async () => {
  const scores = new Float32Array(21 * photo.width * photo.height).fill(0.5)
  const controller = new AbortController()
  const reason = new Error('enough')
  setTimeout(() => controller.abort(reason), 50)
  assert.is(await reasonOf(denseCrf(input(scores, 21), { rounds: 1000, signal: controller.signal })), reason)
})

testIf(process.platform !== 'win32', 'limits of memory: Windows has no ulimit')(
  'results that cannot be allocated are ERR_OUT_OF_MEMORY',
  () => {
    // 1054 million pixels: the inputs fit into the address space that is allowed, and the results do not. No memory is touched.
    // The built library, because tsx needs WebAssembly, which reserves address space.
    const script = `const { denseCrf } = require(${JSON.stringify(join(root, 'dist/index.js'))})
    const [width, height, pixels] = [39677, 26564, 39677 * 26564]
    denseCrf({ rgb: new Uint8Array(3 * pixels), width, height, scores: new Float32Array(2 * pixels), labels: 2 })
      .catch((error) => console.log(error.constructor.name, error.code, error.message, error.cause.name))`
    const { stdout, stderr } = spawnSync('bash', ['-c', 'ulimit -v 20000000; exec "$0" -e "$1"', process.execPath, script], {
      encoding: 'utf8',
      cwd: root,
    })
    assert.match(
      stdout,
      /^ClipEsError ERR_OUT_OF_MEMORY denseCrf\(\): (mask|confidence|marginals) needs .* take a smaller photo or fewer labels RangeError\n$/,
      stderr,
    )
  },
)

test.run()
