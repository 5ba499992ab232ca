// How clip-es prompts encodes photos and measures the presence of classes, with an engine that has no model.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encodePhotos } from '../../cli/src/prompts/encode_photos.js'
import { FeatureCache } from '../../cli/src/prompts/feature_cache.js'
import { measurePresence } from '../../cli/src/prompts/presence.js'
import type { ClassSet, ImageData, Segmenter } from '../../ts/index.js'
import { reasonOf, temporaryFolder } from './support.js'

const folder = temporaryFolder()
const items = ['a', 'b', 'c', 'd', 'e', 'f'].map((id, i) => ({ id, photo: join(folder, `${id}.png`), labels: [i % 2] }))
test.before(async () => {
  for (const [i, { photo }] of items.entries())
    await sharp({ create: { width: i + 1, height: 2, channels: 3, background: 'red' } }).toFile(photo)
  writeFileSync((items[3] as (typeof items)[0]).photo, 'damaged')
})

/** What was told to the caller, and a listener that tells it. */
function listening() {
  const told: string[] = []
  return {
    told,
    done: ({ id }: { id: string }) => void told.push(id),
    failed: ({ id }: { id: string }, message: string) => void told.push(`${id}: ${message.slice(0, 16)}`),
  }
}

/** An engine whose embedding of a photo is its width; counts what is in work and what was given back. */
function fakeEngine(photosAtATime = 1) {
  const state = { inWork: 0, most: 0, kept: 0, widths: [] as number[], settings: [] as unknown[] }
  const pause = () => new Promise((done) => setTimeout(done, 5))
  const engine = {
    model: { photosAtATime },
    async encode({ width }: ImageData) {
      state.widths.push(width)
      state.most = Math.max(state.most, ++state.inWork)
      state.kept++
      await pause()
      return {
        embeddings: async () => {
          state.inWork--
          if (width === 6) throw new Error('no embedding')
          return { image: Float32Array.of(width, 1), logitScale: 100 }
        },
        dispose: () => void state.kept--,
      }
    },
    async segment({ width }: ImageData, _: unknown, options: object) {
      state.settings.push(options)
      state.most = Math.max(state.most, ++state.inWork)
      await pause()
      state.inWork--
      return { labels: ['dog', 'cat'].slice(0, width % 3), presence: Float32Array.of(0.5, 0.25).slice(0, width % 3) }
    },
  }
  return { state, engine: engine as unknown as Segmenter }
}
const cacheAt = (name: string) => new FeatureCache(join(folder, name), 'key', 2)

test('photos are encoded a few at a time, each is given back, and those that fail are told and left out', async () => {
  const { state, engine } = fakeEngine()
  const listener = listening()
  const starts: unknown[] = []
  const signal = new AbortController().signal
  const start = (...counts: number[]) => {
    starts.push(counts)
    return listener
  }
  const found = await encodePhotos(items, engine, cacheAt('all'), signal, start)
  assert.equal(starts, [[0, 6]])
  assert.equal(
    [...found].map(([{ id }, { image, logitScale }]) => [id, image[0], logitScale]),
    [['a', 1, 100], ['b', 2, 100], ['c', 3, 100], ['e', 5, 100]], // biome-ignore format: a table
  )
  assert.match(listener.told.find((text) => text.startsWith('d')) ?? '', /^d: ./)
  assert.equal(listener.told.filter((text) => !text.startsWith('d')).sort(), ['a', 'b', 'c', 'e', 'f: no embedding'])
  assert.equal([state.kept, state.most <= 3 && state.most > 1], [0, true])
  const again = await encodePhotos(items, engine, cacheAt('all'), signal, start)
  assert.equal(starts[1], [4, 2])
  assert.equal(
    [...again.keys()].map(({ id }) => id),
    ['a', 'b', 'c', 'e'],
  )
  assert.equal(state.widths.toSorted(), [1, 2, 3, 5, 6, 6])
})

test('after an abort nothing is told, and the reason is thrown', async () => {
  for (const work of ['encode', 'presence']) {
    const { engine } = fakeEngine(8)
    const controller = new AbortController()
    const listener = listening()
    const abort = { ...listener, done: () => controller.abort(new Error('stopped')) }
    const running =
      work === 'encode'
        ? encodePhotos(items, engine, cacheAt('aborted'), controller.signal, () => abort)
        : measurePresence(items, engine, { names: ['cat', 'dog'] } as unknown as ClassSet, controller.signal, abort)
    assert.is(((await reasonOf(running)) as Error).message, 'stopped')
    assert.equal(
      listener.told.filter((text) => !text.startsWith('d')),
      [],
    )
  }
})

test('the presence of classes is what the engine finds from the smallest threshold on, without CAA', async () => {
  const { state, engine } = fakeEngine()
  const listener = listening()
  const signal = new AbortController().signal
  const judged = await measurePresence(items, engine, { names: ['cat', 'dog'] } as unknown as ClassSet, signal, listener)
  assert.equal(state.settings[0], { labels: 'auto', labelThreshold: Number.MIN_VALUE, refine: false, signal })
  const presences = [[0, 0.5], [0.25, 0.5], [0, 0], [0.25, 0.5], [0, 0]] // biome-ignore format: a table
  assert.equal(
    judged,
    [0, 1, 2, 4, 5].map((i, k) => ({ presence: Float64Array.from(presences[k] as number[]), labels: [i % 2] })),
  )
  assert.equal([listener.told.length, listener.told.filter((text) => text.includes(': ')).length], [6, 1])
  assert.ok(state.most > 1)
})

test.run()
