import { copyFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type LoadOptions, Segmenter } from '../../ts/index.js'
import { answers, folder, writeModel } from './models.js'
import { load, modelPath, otherModelPath, reasonOf } from './support.js'

test('segmenter.model describes the embedded model and is frozen', async () => {
  const segmenter = await load()
  const { fingerprint, ...model } = segmenter.model
  assert.match(fingerprint, /^[0-9a-f]+$/)
  assert.equal(model, {
    path: modelPath,
    demo: true,
    patch: 16,
    width: 128,
    layers: 6,
    resolution: 128,
    embedding: 128,
    context: 77,
    device: 'cpu',
    precision: 'float32',
    weightsFrom: 'archive',
    photosAtATime: 2,
    heads: 2,
    activation: 'quickgelu',
    assumed: [],
  })
  assert.ok(Object.isFrozen(segmenter.model))
  await segmenter.close()
})

test('a relative path starts at the working directory, and its model is not the demo', async () => {
  const segmenter = await load(relative(process.cwd(), otherModelPath))
  const { path, demo, embedding } = segmenter.model
  assert.equal({ path, demo, embedding }, { path: otherModelPath, demo: false, embedding: 64 })
  await segmenter.close()
})

test('an archive that is written again gives the same results', async () => {
  assert.equal(await answers(await load(writeModel('same.pt', () => {}))), await answers(await load()))
})

test('two segmenters of one archive, with one thread or three, give the same results', async () => {
  const [two, one, three] = await Promise.all([load(), load(modelPath, { threads: 1 }), load(modelPath, { threads: 3 })])
  const expected = await answers(two)
  assert.equal(await answers(one), expected)
  assert.equal(await answers(three), expected)
})

test('the model is a path or a file URL, as an argument or as an option', async () => {
  const url = pathToFileURL(otherModelPath)
  const options = { threads: 1, precision: 'float32' } as const
  const segmenters = await Promise.all([
    Segmenter.load({ model: otherModelPath, ...options }),
    Segmenter.load({ model: url, ...options }),
    Segmenter.load(url, options),
    Segmenter.load(undefined, { model: url, ...options } as LoadOptions),
  ])
  for (const segmenter of segmenters) {
    assert.is(segmenter.model.path, otherModelPath)
    assert.is(segmenter.model.photosAtATime, 1)
    await segmenter.close()
  }
})

test('options without a model load the default model', async () => {
  const own = await Segmenter.load({ threads: 1, model: undefined })
  assert.is(own.model.path, process.env.CLIP_ES_MODEL ?? modelPath)
  assert.is(own.model.photosAtATime, 1)
  await own.close()
})

test('escaped characters in a file URL are decoded', async () => {
  const path = join(folder, 'with space # and %.pt')
  copyFileSync(otherModelPath, path)
  const segmenter = await Segmenter.load({ model: pathToFileURL(path), threads: 1 })
  assert.is(segmenter.model.path, path)
  await segmenter.close()
})

test("device 'auto' uses the CPU, and segmenter.model says so", async () => {
  const segmenter = await load(modelPath, { device: 'auto' })
  assert.is(segmenter.model.device, 'cpu')
  await segmenter.close()
})

test('clip-es.json in the archive changes what the model computes', async () => {
  const gelu = writeModel('gelu.pt', (archive) => archive.add('extra/clip-es.json', '{"activation": "gelu"}'))
  const same = writeModel('quick.pt', (archive) => archive.add('extra/clip-es.json', '{"activation": "quick_gelu"}'))
  const expected = await answers(await load())
  assert.not.equal((await answers(await load(gelu))).scores, expected.scores)
  assert.equal(await answers(await load(same)), expected)
})

test('load() with an aborted signal rejects with its reason before it reads anything', async () => {
  const reason = new Error('not needed any more')
  assert.is(await reasonOf(load(join(folder, 'nothing.pt'), { signal: AbortSignal.abort(reason) })), reason)
  assert.is(await reasonOf(load(modelPath, { signal: AbortSignal.abort('why not') })), 'why not')
})

test('an abort while the model is read rejects with its reason, and the next load works', async () => {
  const expected = await answers(await load())
  const controller = new AbortController()
  const reason = { any: 'value' }
  const loading = load(modelPath, { signal: controller.signal })
  setImmediate(() => controller.abort(reason))
  assert.is(await reasonOf(loading), reason)
  assert.equal(await answers(await load()), expected)
})

test('an abort after the load has no effect', async () => {
  const controller = new AbortController()
  const segmenter = await load(modelPath, { signal: controller.signal })
  controller.abort()
  assert.equal(await answers(segmenter), await answers(await load()))
})

test.run()
