import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { gunzipSync } from 'node:zlib'
// The types of `@huggingface/tokenizers` are those of an ES module; its CommonJS build is required.
import type * as HuggingFace from '@huggingface/tokenizers' with { 'resolution-mode': 'import' }
import { invalid } from '../core/errors.js'
import { packageFolder } from '../files/package_folder.js'
import { clean } from './clean.js'

export const START_OF_TEXT = 49406
export const END_OF_TEXT = 49407
/** Rows of CLIP's token embedding: 256 byte symbols, the same ending a word, 48,894 merges, start and end of text. */
export const VOCABULARY_SIZE = 49408

const MERGES = VOCABULARY_SIZE - 2 * 256 - 2
const SPECIAL: ReadonlyMap<string, number> = new Map([
  ['<|startoftext|>', START_OF_TEXT],
  ['<|endoftext|>', END_OF_TEXT],
])

// The reference's expression, which ignores case. On lower-cased text that still means two things, written out here: ſ is
// an s, and U+0345, whose capital is a letter, is neither a letter nor another sign and falls away.
const WORDS =
  /<\|[sſ]tartoftext\|>|<\|endoftext\|>|'[sſ]|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|(?:(?!\u0345)[^\p{White_Space}\p{L}\p{N}])+/gu

/** The byte symbols in the vocabulary's order: printable Latin-1 stands for itself, the other bytes for U+0100 and up. */
function byteSymbols(): string[] {
  const printable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
  const bytes = Array.from({ length: 256 }, (_, byte) => byte)
  const kept = bytes.filter(printable)
  return [...kept, ...bytes.slice(0, 256 - kept.length).map((i) => 256 + i)].map((code) => String.fromCharCode(code))
}

/** CLIP's byte-pair encoding of one word. The library encodes bytes and merges; what a word is, is decided here. */
function load(): HuggingFace.Tokenizer {
  const { Tokenizer } = require('@huggingface/tokenizers') as typeof HuggingFace
  const merges = gunzipSync(readFileSync(join(packageFolder(), 'data', 'bpe_simple_vocab_16e6.txt.gz')))
    .toString('utf8')
    .split('\n', MERGES + 1)
    .slice(1) // below a header
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
  // The vocabulary goes straight into the library's map: an object of 49,406 keys is slow to make and to read.
  const bytes = byteSymbols()
  const symbols = [...bytes, ...bytes.map((byte) => `${byte}</w>`), ...merges.map((merge) => merge.replace(' ', ''))]
  for (const [id, symbol] of symbols.entries()) tokenizer.model?.tokens_to_ids.set(symbol, id)
  return tokenizer
}

let library: HuggingFace.Tokenizer | undefined
const known = new Map<string, readonly number[]>() // words repeat; the library's own cache saves little of its time
const MOST_KNOWN = 10_000

function encodeWord(word: string): readonly number[] {
  const remembered = known.get(word)
  if (remembered !== undefined) return remembered
  library ??= load()
  const special = SPECIAL.get(word)
  const ids = special === undefined ? library.encode(word).ids : [special]
  if (known.size >= MOST_KNOWN) known.clear()
  known.set(word, ids)
  return ids
}

/**
 * CLIP's tokens of a text, without start and end; an empty text has none. `<|startoftext|>` and `<|endoftext|>` inside it
 * are their own tokens, as in the reference. The first call reads the merges (0.1 to 0.2 s).
 * Source: openai/CLIP clip/simple_tokenizer.py.
 * @throws ClipEsError ERR_INVALID_ARG when `text` is not a string
 */
export function tokenize(text: string): number[] {
  if (typeof text !== 'string') throw invalid(`tokenize(): text is ${inspect(text, { depth: 0 })}; it must be a string`)
  return Array.from(clean(text).matchAll(WORDS), ([word]) => encodeWord(word)).flat()
}

/** Whether CLIP reads anything in a text: control characters and the like are dropped before tokens are made. */
export const isReadable = (text: string): boolean => clean(text).search(WORDS) >= 0

const LONGEST_QUOTE = 60

function quote(text: string): string {
  const characters = [...text] // not UTF-16 units: an emoji is not cut in half
  return JSON.stringify(characters.length > LONGEST_QUOTE ? `${characters.slice(0, LONGEST_QUOTE).join('')}…` : text)
}

/**
 * A prompt as the text tower reads it: start, tokens, end, zeros; `context` token ids. The end is the row's only
 * END_OF_TEXT and its largest id, so that pooling at the first largest id finds it.
 * @throws ClipEsError ERR_INVALID_ARG when the text has more than `context` - 2 tokens (nothing is cut off), or holds
 *   `<|endoftext|>`, at which the tower would stop reading
 */
export function encodePrompt(text: string, context: number): Int32Array {
  const ids = tokenize(text)
  if (ids.includes(END_OF_TEXT)) {
    throw invalid(`the prompt ${quote(text)} contains <|endoftext|>, after which the model reads nothing; remove it`)
  }
  const room = context - 2
  if (ids.length > room) {
    const excess = `${ids.length - room} more than the model's ${room} + start and end`
    throw invalid(`the prompt ${quote(text)} has ${ids.length} tokens, ${excess}; shorten it`)
  }
  const row = new Int32Array(context)
  row.set([START_OF_TEXT, ...ids, END_OF_TEXT])
  return row
}
