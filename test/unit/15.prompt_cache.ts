import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PromptCache } from '../../ts/classes/prompt_cache.js'

const embedding = 4
/** An embedding that names its prompt, and a record of what was encoded. */
function encoder() {
  const encoded: string[][] = []
  const row = (prompt: string): number[] => [prompt.length, ...[...prompt].slice(0, 3).map((letter) => letter.charCodeAt(0))]
  const encode = async (prompts: readonly string[]) => {
    encoded.push([...prompts])
    return Float32Array.from(prompts.flatMap(row))
  }
  const expected = (prompts: readonly string[]) => Float32Array.from(prompts.flatMap(row))
  return { encoded, encode, expected }
}

const ask = (cache: PromptCache, prompts: string[], encode: (prompts: readonly string[]) => Promise<Float32Array>) =>
  cache.embeddings(prompts, encode, new Float32Array(prompts.length * embedding))

test('only prompts that are not known are encoded, each once, and the results are in the order of the prompts', async () => {
  const { encoded, encode, expected } = encoder()
  const cache = new PromptCache(embedding)
  assert.equal(await ask(cache, ['cat', 'dog', 'cat'], encode), expected(['cat', 'dog', 'cat']))
  assert.equal(await ask(cache, ['dog', 'bird', 'cat'], encode), expected(['dog', 'bird', 'cat']))
  assert.equal(await ask(cache, ['bird', 'dog'], encode), expected(['bird', 'dog']))
  assert.equal(encoded, [['cat', 'dog'], ['bird']])
})

test('prompts that fail are encoded again', async () => {
  const { encoded, encode, expected } = encoder()
  const cache = new PromptCache(embedding)
  const failure = new Error('no')
  const error = await ask(cache, ['cat'], () => Promise.reject(failure)).catch((reason) => reason)
  assert.is(error, failure)
  assert.equal(await ask(cache, ['cat'], encode), expected(['cat']))
  assert.equal(encoded, [['cat']])
})

test('4 MiB are kept; the prompts that were used longest ago go first', async () => {
  const large = 2 ** 18 // numbers: four embeddings fill the memory
  const encoded: string[] = []
  const encode = async (prompts: readonly string[]) => {
    encoded.push(...prompts)
    return new Float32Array(prompts.length * large)
  }
  const cache = new PromptCache(large)
  const use = (...prompts: string[]) => cache.embeddings(prompts, encode, new Float32Array(prompts.length * large))
  await use('a', 'b', 'c', 'd')
  await use('a')
  await use('e') // in place of b
  await use('c', 'd', 'a', 'e')
  assert.equal(encoded, ['a', 'b', 'c', 'd', 'e'])
  await use('b')
  assert.equal(encoded, ['a', 'b', 'c', 'd', 'e', 'b'])
  await use('1', '2', '3', '4', '5', '6') // more than fit
  assert.is(encoded.length, 12)
})

test.run()
