import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readNpy } from '../../ts/formats/npy.js'
import {
  type ClassSet,
  type ImageData,
  type Segmenter,
  type SegmentOptions,
  type SimilarityPreset,
  similarityPresets,
} from '../../ts/index.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { largestDifference, readPpm } from '../golden/ppm.js'
import { everything, smallScene } from './small_scene.js'
import { load, rejects, root, type Scene, withoutTimings } from './support.js'

let segmenter: Segmenter
let photo: Scene
let small: ImageData
let classes: ClassSet
const absent = ['fish', 'banana', 'bicycle', 'clock']

test.before(async () => {
  ;({ segmenter, photo, small } = await smallScene())
  classes = await segmenter.encodeClasses([...photo.labels, ...absent], { background: photo.background })
})
test.after(() => segmenter.close())

const segment = (maps: SegmentOptions['maps'], options: SegmentOptions = {}, image: ImageData = small) =>
  segmenter.segment(image, classes, { ...everything, maps, ...options })

const presets = Object.keys(similarityPresets) as SimilarityPreset[]

test("maps by similarity are the definition's: masks and confidences through the API", async () => {
  const folder = join(root, 'test/golden/small')
  const own = await load(join(root, 'test/golden/vit-small-random.pt'), { maxSide: Number.POSITIVE_INFINITY })
  const texts = JSON.parse(readFileSync(join(folder, 'texts/texts.json'), 'utf8'))
  const set = await own.encodeClasses(texts.classes, { template: texts.template, background: texts.background })
  for (const name of ['astronaut_97x128', 'chelsea_150x113']) {
    const read = (stage: string) => readNpy(readFileSync(join(folder, name, `${stage}.npy`))).values
    const labels = [...read('class_ids')].map(Number)
    for (const [golden, maps] of [
      ['naclip', 'similarity'],
      ['windows', { window: 48, stride: 32 }],
    ] as const)
      for (const refine of [false, true]) {
        const stage = `similarity/${golden}${refine ? '_refined' : ''}`
        const image = readPpm(join(folder, name, 'photo.ppm'))
        const result = await own.segment(image, set, { labels, maps, refine, include: ['confidence'] })
        const off = largestDifference(result.confidence as Float32Array, read(`${stage}_confidence`))
        assert.ok(off < 1e-4, `${name} ${stage}: ${off}`)
        const mask = read(`${stage}_mask`)
        const wrong = result.mask.filter((value, i) => value !== (mask[i] ? (labels[Number(mask[i]) - 1] as number) + 1 : 0))
        assert.ok(wrong.length <= mask.length / 1000, `${name} ${stage}: ${wrong.length} pixels`)
      }
  }
  await own.close()
})

test('words that are absent stay low, and the mask covers the objects without labels', async () => {
  const { data: truth } = await readMask(readFileSync(join(root, 'models/scenes/scene01_mask.png')))
  for (const refine of [true, false]) {
    const { scores, mask } = await segment('similarity', { refine }, photo)
    const there = scores.subarray(0, photo.labels.length)
    assert.ok(Math.min(...there) > 0.9, `${there}`)
    assert.ok(Math.max(...scores.subarray(there.length)) < 0.3, `${scores}`)
    for (const [k, label] of photo.labels.entries()) {
      const both = mask.filter((value, i) => value === k + 1 && truth[i] === k + 1).length
      const either = mask.filter((value, i) => value === k + 1 || truth[i] === k + 1).length
      assert.ok(both / either > 0.4, `${label}: ${both} of ${either} pixels`)
    }
  }
})

test('every preset and window gives probabilities, of which the confidence is the largest', async () => {
  for (const maps of [...presets.map((preset) => ({ preset })), { window: 48, stride: 32 }]) {
    const { cams, confidence, mask, scores, labels } = await segment(maps)
    const pixels = small.width * small.height
    assert.ok(
      (cams as Float32Array).every((value) => value >= 0 && value <= 1),
      JSON.stringify(maps),
    )
    for (let k = 0; k < labels.length; k++) {
      const map = (cams as Float32Array).subarray(k * pixels, (k + 1) * pixels)
      assert.is(
        scores[k],
        Math.max(
          ...Array.from({ length: small.height }, (_, y) => Math.max(...map.subarray(y * small.width, (y + 1) * small.width))),
        ),
      )
      for (let i = 0; i < pixels; i += 97) {
        assert.ok((map[i] as number) <= ((confidence as Float32Array)[i] as number))
        if (mask[i] === k + 1) assert.is(map[i], (confidence as Float32Array)[i])
      }
    }
  }
})

test("'gradcam' is the default, 'similarity' is the preset naclip, and a setting replaces the preset's", async () => {
  const plain = withoutTimings(await segmenter.segment(small, classes, everything))
  assert.equal(withoutTimings(await segmenter.segment(small, classes, { ...everything, maps: 'gradcam' })), plain)
  const similarity = withoutTimings(await segment('similarity'))
  assert.not.equal(similarity.mask, plain.mask)
  assert.equal(withoutTimings(await segment({})), similarity)
  assert.equal(withoutTimings(await segment({ preset: 'naclip', window: 0 })), similarity)
  assert.equal(withoutTimings(await segment({ preset: 'clip', ...similarityPresets.naclip })), similarity)
  for (const setting of [
    { attention: 'query' },
    { neighbourhood: 1 },
    { residual: true },
    { feedForward: true },
    { attendClass: false },
    { mix: 0.5 },
    { repair: 0.1 },
    { midAttention: true },
    { aggregate: true },
    { fuse: true },
    { classToken: 0.3 },
    { logitScale: 20 },
    { window: 48 },
  ] as const)
    assert.not.equal((await segment(setting)).cams, similarity.cams, JSON.stringify(setting))
  assert.not.equal((await segment({ mix: 0.5 })).cams, (await segment({ mix: 0.5, mixFactor: 3 })).cams)
})

test('CRF, encoded photos and segmentAll() work on maps by similarity', async () => {
  const options = { ...everything, maps: 'similarity', crf: true } as const
  const expected = withoutTimings(await segmenter.segment(small, classes, options))
  const encoded = await segmenter.encode(small)
  assert.equal(withoutTimings(await encoded.segment(classes, options)), expected)
  encoded.dispose()
  let count = 0
  for await (const result of segmenter.segmentAll([small, small], classes, options)) {
    assert.equal(withoutTimings(result), expected)
    count++
  }
  assert.is(count, 2)
  assert.not.equal(expected.mask, (await segment('similarity')).mask)
})

test('a job by GradCAM and one by similarity can share a batch', async () => {
  const own = await load(undefined, { maxBatch: 4, maxDelay: 50, concurrency: 1 })
  const set = await own.encodeClasses(photo.labels, { background: photo.background })
  const alone = withoutTimings(await own.segment(small, set, { maps: 'similarity' }))
  const results = await Promise.all([
    own.segment(small, set),
    own.segment(small, set, { maps: 'similarity' }),
    own.segment(small, set),
  ])
  assert.equal(withoutTimings(results[1]), alone)
  assert.equal(results[0]?.mask, results[2]?.mask)
  await own.close()
})

test('wrong settings are refused, with what was expected', async () => {
  const wrong: [unknown, ...string[]][] = [
    ['similar', "unknown maps 'similar'", "did you mean 'similarity'?"],
    [3, 'maps is 3', "'gradcam', 'similarity' or an object of settings"],
    [{ preset: 'naclp' }, "unknown maps.preset 'naclp'", "did you mean 'naclip'?"],
    [{ windows: 3 }, "unknown option 'windows'", "did you mean 'window'?"],
    [{ mix: 2 }, 'maps.mix is 2', 'from 0 to 1'],
    [{ residual: 1 }, 'maps.residual is 1', 'true or false'],
    [{ attention: 'value' }, "unknown maps.attention 'value'", 'known: query, key'],
    [{ window: 2.5 }, 'maps.window is 2.5', 'a whole number'],
  ]
  for (const [maps, ...parts] of wrong)
    await rejects(segmenter.segment(small, classes, { maps: maps as 'similarity' }), 'ERR_INVALID_ARG', 'segment(): ', ...parts)
  const one = await segmenter.encodeClasses(['panda'], { background: [] })
  await rejects(segmenter.segment(small, one, { maps: 'similarity' }), 'ERR_INVALID_ARG', 'one label and no background words')
})

test.run()
