// Class sets that the server keeps, with a stand-in for the engine.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClassSetCache } from '../../server/src/service/class_sets.js'
import type { ClassSet, Segmenter } from '../../ts/index.js'
import { oneOf } from './support.js'

/** A cache whose engine remembers what it encoded, and fails while `broken` has a message. */
function make(most: number) {
  const state = { encoded: [] as string[], broken: '' }
  const segmenter = {
    async encodeClasses(classes: readonly unknown[]) {
      state.encoded.push(classes.join())
      if (state.broken) throw new Error(state.broken)
      return { names: classes } as unknown as ClassSet
    },
  } as unknown as Segmenter
  const cache = new ClassSetCache(segmenter, most)
  const { signal } = new AbortController()
  return { state, cache, resolve: (...classes: string[]) => cache.resolve(classes, {}, signal) }
}

test('equal requests encode once, also at the same time, and other options encode again', async () => {
  const { state, cache, resolve } = make(10)
  const [first, second] = await Promise.all([resolve('cat', 'dog'), resolve('cat', 'dog')])
  assert.is(first.classes, second.classes)
  assert.is((await resolve('cat', 'dog')).classes, first.classes)
  assert.equal(state.encoded, ['cat,dog'])
  await cache.resolve(['cat', 'dog'], { template: '{}' }, new AbortController().signal)
  await resolve('dog', 'cat')
  assert.equal(state.encoded, ['cat,dog', 'cat,dog', 'dog,cat'])
  assert.is(cache.encodedCount, 3)
})

test('classes that could not be encoded are not kept, so that the next request tries again', async () => {
  const { state, cache, resolve } = make(10)
  state.broken = 'no memory'
  assert.is(((await oneOf(resolve('cat'))) as Error).message, 'no memory')
  assert.is(cache.encodedCount, 0)
  state.broken = ''
  assert.equal((await resolve('cat')).classes.names, ['cat'])
  assert.equal(state.encoded, ['cat', 'cat'])
})

test('what was not used for longest goes first', async () => {
  const { state, cache, resolve } = make(2)
  for (const name of ['a', 'b', 'a', 'c', 'a', 'b']) await resolve(name)
  assert.equal(state.encoded, ['a', 'b', 'c', 'b'])
  assert.is(cache.encodedCount, 2)
})

test('a class set is stored by its name, up to a limit, and those of the server stay', async () => {
  const { cache } = make(2)
  const { signal } = new AbortController()
  const file = { classes: ['cat', { name: 'dog', colour: '#ff8800' }], boxThreshold: 0.3 } as never
  const store = (name: string) => oneOf(cache.store(name, file, signal))
  assert.equal(((await store('mine')) as { builtIn: boolean }).builtIn, false)
  const { colours, boxThreshold } = await cache.resolve('mine', {}, signal)
  assert.equal([colours, boxThreshold], [[undefined, '#ff8800'], 0.3])
  await store('other')
  assert.match(((await store('third')) as Error).message, /^2 class sets are stored, which is the limit/)
  assert.equal(((await store('mine')) as { name: string }).name, 'mine', 'a stored one may be replaced')
  assert.match(((await store('voc')) as Error).message, /'voc' comes with the server and cannot be replaced/)
  assert.throws(() => cache.delete('voc'), /comes with the server and cannot be deleted/)
  cache.delete('mine')
  assert.not(cache.has('mine'))
  const missing = (await oneOf(cache.resolve('othr', {}, signal))) as Error & { status: number; code: string }
  assert.equal([missing.status, missing.code], [404, 'ERR_NOT_FOUND'])
  assert.match(missing.message, /there is no class set 'othr'; did you mean 'other'\?/)
  const aborted = await oneOf(cache.resolve(['cat'], {}, AbortSignal.abort('gone')))
  assert.is(aborted, 'gone')
})

test.run()
