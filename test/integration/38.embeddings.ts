import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Jobs } from '../../ts/engine/jobs.js'
import type { NativeEncodedImage } from '../../ts/engine/native.js'
import { PhotoJobs } from '../../ts/engine/photo_jobs.js'
import type { ClassSet, Embeddings, EncodedImage, Segmenter } from '../../ts/index.js'
import { SavedClasses } from './saved_classes.js'
import { load, reasonOf, rejects, type Scene, scene, temporaryFolder } from './support.js'

let segmenter: Segmenter
let photo: Scene
let classes: ClassSet
let encoded: EncodedImage

test.before(async () => {
  segmenter = await load()
  photo = await scene('scene01')
  classes = await segmenter.encodeClasses(photo.labels, { background: photo.background })
  encoded = await segmenter.encode(photo)
})

test.after(() => segmenter.close())

const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, i) => sum + value * (b[i] as number), 0)

/** Rows of texts as save() wrote them: the classes', then the background's. */
async function textRows(): Promise<Float32Array[]> {
  const file = join(temporaryFolder(), 'classes.safetensors')
  await classes.save(file)
  const saved = new SavedClasses(file)
  return [...saved.rows('rows'), ...saved.rows('background')]
}

/** Softmax of an embedding's logits. */
function probabilities(texts: Float32Array[], embedding: Float32Array, { logitScale }: Embeddings): number[] {
  const logits = texts.map((text) => logitScale * dot(text, embedding))
  const powers = logits.map((logit) => Math.exp(logit - Math.max(...logits)))
  return powers.map((power) => power / powers.reduce((a, b) => a + b))
}

test('the photo’s embedding and the texts give the scores of segment()', async () => {
  const embeddings = await encoded.embeddings()
  const { scores } = await encoded.segment(classes)
  const computed = probabilities(await textRows(), embeddings.image, embeddings)
  for (const [k, score] of scores.entries()) assert.ok(Math.abs(score - (computed[k] as number)) < 1e-5, `${k}: ${score}`)
})

test('there is a unit vector for each patch of the grid, and only when asked for', async () => {
  assert.equal(encoded.grid, { width: 20, height: 15 })
  assert.is((await encoded.embeddings()).patches, undefined)
  const { patches } = await encoded.embeddings({ patches: true })
  assert.is(patches?.length, 300 * segmenter.model.embedding)
  for (let i = 0; i < 300; i++) {
    const row = patches?.subarray(i * segmenter.model.embedding, (i + 1) * segmenter.model.embedding) as Float32Array
    assert.ok(Math.abs(dot(row, row) - 1) < 1e-5)
  }
})

test('on average, the patches of an object are nearer to its word than those of the background', async () => {
  const embeddings = await encoded.embeddings({ patches: true })
  const { mask } = await encoded.segment(classes)
  const texts = await textRows()
  const size = segmenter.model.embedding
  const share = { inside: [] as number[], outside: [] as number[] }
  for (let i = 0; i < 300; i++) {
    const row = embeddings.patches?.subarray(i * size, (i + 1) * size) as Float32Array
    const label = mask[(Math.floor(i / 20) * 16 + 8) * 320 + (i % 20) * 16 + 8]
    share[label === 1 ? 'inside' : 'outside'].push(probabilities(texts, row, embeddings)[0] as number)
  }
  const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length
  assert.ok(mean(share.inside) > 2 * mean(share.outside), `${mean(share.inside)} against ${mean(share.outside)}`)
})

test('wrong options and a disposed image are refused, and the segmenter keeps working', async () => {
  for (const [options, message] of [
    [{ patches: 1 }, 'patches is 1; expected true or false'],
    [{ signal: 1 }, 'signal is 1; expected an AbortSignal'],
    [{ x: 1 }, "unknown option 'x'; known: patches, signal"],
  ] as const)
    await rejects(encoded.embeddings(options as object), 'ERR_INVALID_ARG', `embeddings(): ${message}`)
  await rejects(encoded.embeddings({ patch: true } as never), 'ERR_INVALID_ARG', "did you mean 'patches'")
  const other = await segmenter.encode(photo)
  other.dispose()
  await rejects(other.embeddings(), 'ERR_CLOSED', 'disposed')
  assert.is((await encoded.embeddings()).image.length, segmenter.model.embedding)
})

test('an abort rejects with its reason', async () => {
  const reason = new Error('enough')
  assert.is(await reasonOf(encoded.embeddings({ signal: AbortSignal.abort(reason) })), reason)
  const controller = new AbortController()
  const before = Array.from({ length: 4 }, () => segmenter.segment(photo, classes)) // more than run at a time
  const pending = encoded.embeddings({ patches: true, signal: controller.signal })
  controller.abort(reason)
  assert.is(await reasonOf(pending), reason)
  await Promise.all(before)
})

test('embeddings that cannot be allocated are ERR_OUT_OF_MEMORY with the cause, and no job starts', async () => {
  const jobs = { run: () => assert.unreachable() } as unknown as Jobs
  const photos = new PhotoJobs(jobs, { embedding: 128, logitScale: 100 }, 1)
  const huge = { gridWidth: 2 ** 22, gridHeight: 2 ** 22 } as NativeEncodedImage
  const failing = photos.embeddings(huge, true, { call: 'embeddings()', signal: undefined, whenFull: 'reject' })
  await rejects(failing, 'ERR_OUT_OF_MEMORY', 'embeddings(): patches needs 2251799813685248 elements', 'a smaller maxSide')
  assert.instance(((await reasonOf(failing)) as Error).cause, RangeError)
})

test.run()
