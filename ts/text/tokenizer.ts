import { inspect } from 'node:util'
import { invalid } from '../core/errors.js'
import { encodeBytePairs, SYMBOLS } from './byte_pairs.js'
import { clean } from './clean.js'

export const START_OF_TEXT = SYMBOLS
export const END_OF_TEXT = SYMBOLS + 1
/** Rows of CLIP's token embedding. */
export const VOCABULARY_SIZE = SYMBOLS + 2

const SPECIAL: ReadonlyMap<string, number> = new Map([
  ['<|startoftext|>', START_OF_TEXT],
  ['<|endoftext|>', END_OF_TEXT],
])

// The reference's expression, which ignores case. On lower-cased text that still means two things, written out here: ſ is
// an s, and U+0345, whose capital is a letter, is neither a letter nor another sign and falls away.
const WORDS =
  /<\|[sſ]tartoftext\|>|<\|endoftext\|>|'[sſ]|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|(?:(?!\u0345)[^\p{White_Space}\p{L}\p{N}])+/gu

const known = new Map<string, readonly number[]>() // words repeat
const MOST_KNOWN = 10_000

function encodeWord(word: string): readonly number[] {
  const remembered = known.get(word)
  if (remembered !== undefined) return remembered
  const special = SPECIAL.get(word)
  const ids = special === undefined ? encodeBytePairs(word) : [special]
  if (known.size >= MOST_KNOWN) known.clear()
  known.set(word, ids)
  return ids
}

/**
 * CLIP's tokens of a text, without start and end; an empty text has none. `<|startoftext|>` and `<|endoftext|>` inside it
 * are their own tokens, as in the reference. The first call reads the merges (less than 0.1 s).
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
