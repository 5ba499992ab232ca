import { readFileSync } from 'node:fs'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
// The types of `@huggingface/tokenizers` are those of an ES module; its CommonJS build is required.
import type * as HuggingFace from '@huggingface/tokenizers' with { 'resolution-mode': 'import' }
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeBytePairs, SYMBOLS } from '../../ts/text/byte_pairs.js'

const { Tokenizer } = require('@huggingface/tokenizers') as typeof HuggingFace
const merges = gunzipSync(readFileSync(path.join(__dirname, '..', '..', 'data', 'clip_merges.txt.gz')))
  .toString('utf8')
  .trimEnd()
  .split('\n')
  .slice(1)

/** The twin: Hugging Face's byte-pair encoding with CLIP's vocabulary, in the order of OpenAI's tokenizer. */
function twin(): (word: string) => number[] {
  const bytes: string[] = []
  const others: string[] = []
  for (let byte = 0; byte < 256; byte++) {
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174) bytes.push(String.fromCharCode(byte))
    else others.push(String.fromCharCode(256 + others.length))
  }
  bytes.push(...others)
  const symbols = [...bytes, ...bytes.map((byte) => `${byte}</w>`), ...merges.map((merge) => merge.replace(' ', ''))]
  const tokenizer = new Tokenizer(
    {
      version: '1.0',
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
      post_processor: null,
      decoder: null,
      model: { type: 'BPE', end_of_word_suffix: '</w>', vocab: {}, merges },
    },
    {},
  )
  for (const [id, symbol] of symbols.entries()) tokenizer.model?.tokens_to_ids.set(symbol, id)
  return (word) => [...tokenizer.encode(word).ids]
}

function* randomNumbers(): Generator<number, never> {
  for (let x = 1; ; x = (x * 48271) % 2147483647) yield x
}

test('the merges give each symbol once, and no more symbols than CLIP has', () => {
  assert.is(256 + 256 + new Set(merges.map((merge) => merge.replace(' ', ''))).size, SYMBOLS)
})

test('words made of every merge, of random letters of many scripts and of one letter have the tokens of the twin', () => {
  const random = randomNumbers()
  const pick = <T>(from: readonly T[] | string): T | string => from[random.next().value % from.length] as T | string
  const parts = merges.map((merge) => merge.replace('</w>', '').replace(' ', '')).filter((part) => /^[!-~]+$/.test(part))
  const words = [...parts]
  for (let i = 0; i < 10_000; i++) words.push(`${pick(parts)}${pick(parts)}${i % 2 ? '' : pick(parts)}`)
  for (const letters of [
    'etaoinshrdlu',
    'aab',
    'äöüßéèñ',
    'абвгдежзиклмн',
    '漢字仮名交じり文',
    '🐱🐶🚗👍🏽',
    '!?.,-_—…',
    '0123456789',
  ])
    for (let length = 1; length < 120; length++) words.push(Array.from({ length }, () => pick([...letters])).join(''))
  for (let length = 1; length < 40; length++) words.push('a'.repeat(length), 'ha'.repeat(length), '!'.repeat(length))
  assert.ok(words.length > 40_000, `${words.length} words`)
  let start = performance.now()
  encodeBytePairs('first')
  const ours = performance.now() - start
  start = performance.now()
  const expected = twin()
  console.log(
    `  the first call takes ${ours.toFixed(0)} ms; the twin, which gets the merges, starts in ${(performance.now() - start).toFixed(0)} ms`,
  )
  for (const word of words) assert.equal(encodeBytePairs(word).join(), expected(word).join(), word)
})

test('no bytes have no tokens', () => {
  assert.equal(encodeBytePairs(''), [])
})

test.run()
