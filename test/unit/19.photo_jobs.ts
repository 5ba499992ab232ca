// The jobs of a photo, and encoded photos, with a stand-in for native code.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClassSet } from '../../ts/classes/class_set.js'
import { EncodedImage } from '../../ts/encoded_image.js'
import type { Jobs } from '../../ts/engine/jobs.js'
import type { NativeEncodedImage, NativeImage } from '../../ts/engine/native.js'
import { type Caller, type Photo, PhotoJobs } from '../../ts/engine/photo_jobs.js'
import { reasonOf, rejects } from './support.js'

const timings = (value: number) => ({
  ...{ queue: value, preprocess: value, encode: value, gradcam: value, refine: value, mask: value, crf: value },
})
const image: NativeImage = { data: new Uint8Array(400), width: 40, height: 10, channels: 1, rowBytes: 40, blueFirst: false }
const caller: Caller = { call: 'call()', signal: undefined, whenFull: 'reject' }

/** Native code that writes down its calls, below real PhotoJobs. */
function engine(native: object) {
  const calls: unknown[][] = []
  const whenFull: unknown[] = []
  const jobs = {
    async run(signal: AbortSignal | undefined, start: (native: unknown, id: number) => unknown, full: unknown) {
      signal?.throwIfAborted()
      whenFull.push(full)
      const recording = new Proxy(native, {
        get:
          (target, name) =>
          (id: number, ...args: unknown[]) => {
            calls.push([name, id, ...args])
            return (target as Record<string | symbol, (...args: unknown[]) => unknown>)[name]?.(...args)
          },
      })
      return await start(recording, calls.length + 1)
    },
  }
  return { calls, whenFull, photos: new PhotoJobs(jobs as unknown as Jobs, { embedding: 3, logitScale: 10 }, 5) }
}

test('each job has the memory that native code fills', async () => {
  const encoded = { gridWidth: 4, gridHeight: 2 } as NativeEncodedImage
  const { calls, whenFull, photos } = engine({ encode: () => encoded })
  assert.is(photos.window, 5)
  assert.is(await photos.encode(image, caller), encoded)
  assert.equal(await photos.embeddings(encoded, false, { ...caller, whenFull: 'wait' }), {
    logitScale: 10,
    image: new Float32Array(3),
  })
  const both = await photos.embeddings(encoded, true, caller)
  assert.equal(both, { logitScale: 10, image: new Float32Array(3), patches: new Float32Array(24) })
  const [outputs, texts, settings] = [{ scores: new Float32Array(2), mask: new Uint8Array(1) }, {}, {}] as never[]
  await photos.segment({ image }, texts as never, settings as never, outputs as never, caller)
  await photos.segment({ image, encoded }, texts as never, settings as never, outputs as never, { ...caller, whenFull: 'wait' })
  assert.equal(calls, [
    ['encode', 1, image],
    ['embeddings', 2, encoded, new Float32Array(3), undefined],
    ['embeddings', 3, encoded, both.image, both.patches],
    ['segment', 4, image, texts, settings, outputs],
    ['segment', 5, encoded, texts, settings, outputs],
  ])
  assert.equal(whenFull, ['reject', 'wait', 'reject', 'reject', 'wait'])
})

test('crops are encoded in batches of eight', async () => {
  const { calls, photos } = engine({
    embedCrops: (_: NativeImage, boxes: Int32Array, rows: Float32Array) => {
      for (let i = 0; i < rows.length; i++) rows[i] = (boxes[0] as number) + i
      return timings(boxes.length)
    },
  })
  const boxes = Array.from({ length: 17 }, (_, i) => ({ left: i, top: 20 + i, right: 40 + i, bottom: 60 + i }))
  const { embeddings, timings: spent } = await photos.embedCrops(image, boxes, caller)
  assert.equal(spent, [timings(32), timings(32), timings(4)])
  assert.equal(
    calls.map(([, , , numbers]) => [...(numbers as Int32Array)]),
    [boxes.slice(0, 8), boxes.slice(8, 16), boxes.slice(16)].map((batch) =>
      batch.flatMap(({ left, top, right, bottom }) => [left, top, right, bottom]),
    ),
  )
  assert.equal(
    [...embeddings],
    [0, 8, 16].flatMap((first) => Array.from({ length: first === 16 ? 3 : 24 }, (_, i) => first + i)),
  )
  assert.equal((await photos.embedCrops(image, [], caller)).timings, [])
})

test('memory that was transferred away before a job starts is refused by name', async () => {
  const { calls, photos } = engine({})
  const gone = { ...image, data: new Uint8Array() }
  const encoded = {} as NativeEncodedImage
  const away = (name: string) => `call(): ${name} was transferred away before the call ended; wait for the result first`
  const segment = (photo: Photo, outputs: object) => photos.segment(photo, {} as never, {} as never, outputs as never, caller)
  await rejects(photos.encode(gone, caller), 'ERR_INVALID_ARG', away('image.data'))
  await rejects(
    photos.embedCrops(gone, [{ left: 0, top: 0, right: 1, bottom: 1 }], caller),
    'ERR_INVALID_ARG',
    away('image.data'),
  )
  await rejects(segment({ image: gone }, {}), 'ERR_INVALID_ARG', away('image.data'))
  await rejects(segment({ image }, { mask: new Uint8Array() }), 'ERR_INVALID_ARG', away('output.mask'))
  assert.equal(calls, [])
  await segment({ image: gone, encoded }, { mask: new Uint8Array(1) })
  assert.is(calls.length, 1, 'the pixels of an encoded photo are not read')
})

test('an encoded photo gives its memory back once, after the calls that use it', async () => {
  let disposed = 0
  const native = { gridWidth: 4, gridHeight: 3, timings: timings(1), dispose: () => disposed++ } as unknown as NativeEncodedImage
  const ends: ((value: never) => void)[] = []
  const asked: unknown[][] = []
  const later = (...args: unknown[]) => {
    asked.push(args)
    return new Promise<never>((resolve) => ends.push(resolve))
  }
  const encoded = EncodedImage.create({ width: 40, height: 30 }, native, { segment: later, embeddings: later })
  assert.equal([encoded.width, encoded.height, encoded.grid, encoded.timings], [40, 30, { width: 4, height: 3 }, timings(1)])
  assert.ok(Object.isFrozen(encoded.grid) && Object.isFrozen(encoded.timings))
  const [classes, options] = [{} as ClassSet, {}]
  const running = [encoded.segment(classes, options), encoded.embeddings(options)]
  assert.equal(asked, [
    [native, classes, options],
    [native, options],
  ])
  encoded.dispose()
  assert.is(disposed, 0)
  ends[0]?.('a' as never)
  assert.is(await running[0], 'a')
  assert.is(disposed, 0, 'one call still uses it')
  ends[1]?.('b' as never)
  assert.is(await running[1], 'b')
  assert.is(disposed, 1)
  encoded[Symbol.dispose]()
  assert.is(disposed, 1)
  await rejects(encoded.segment(classes), 'ERR_CLOSED', /^this encoded image was disposed; encode the photo again$/)
  await rejects(encoded.embeddings(), 'ERR_CLOSED')
  const other = EncodedImage.create({ width: 1, height: 1 }, native, {
    segment: later,
    embeddings: () => Promise.reject(new Error('no')),
  })
  await reasonOf(other.embeddings())
  assert.is(disposed, 1)
  other[Symbol.dispose]()
  assert.is(disposed, 2)
  other.dispose()
  assert.is(disposed, 2)
})

test.run()
