import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { END_OF_TEXT, encodePrompt, START_OF_TEXT, tokenize, VOCABULARY_SIZE } from '../../ts/text/tokenizer.js'

type Row = { text: string; ids: number[] }
const golden = (file: string) => JSON.parse(readFileSync(path.join(__dirname, '..', 'golden', file), 'utf8'))

function equalReference(rows: Row[], least: number): void {
  assert.ok(rows.length >= least, `${rows.length} rows`)
  for (const { text, ids } of rows) assert.equal(tokenize(text), ids, JSON.stringify(text))
}

test("every class prompt and odd text has the reference tokenizer's tokens", () => {
  equalReference(golden('tokens.json'), 67)
})

test("texts made at random from words, signs, scripts, references and controls have the reference tokenizer's tokens", () => {
  equalReference(golden('tokens_more.json').rows, 400)
})

test('an empty text has no tokens', () => {
  assert.equal(tokenize(''), [])
  assert.equal(tokenize(' \n\ufeff'), [])
})

test('the vocabulary ends with start and end of text', () => {
  assert.equal(tokenize('<|startoftext|><|endoftext|>'), [START_OF_TEXT, END_OF_TEXT])
  assert.is(END_OF_TEXT, VOCABULARY_SIZE - 1)
})

test('a sign before <|endoftext|> swallows its beginning, as in the reference', () => {
  assert.not(tokenize('!<|endoftext|>').includes(END_OF_TEXT))
})

test('a repeated word has the same tokens, even if the caller changed the first result', () => {
  const first = tokenize('tvmonitor')
  const copy = [...first]
  first.fill(0)
  assert.equal(tokenize('tvmonitor'), copy)
})

test('tokens stay right for more words than the cache holds', () => {
  const before = tokenize('origami 9999')
  for (let i = 0; i < 11000; i++) tokenize(`w${i.toString(26).replace(/\d/g, (d) => 'qrstuvwxyz'[Number(d)] ?? '')}`)
  assert.equal(tokenize('origami 9999'), before)
})

test('a value that is not a string is refused and named', () => {
  for (const [value, shown] of [
    [5, '5'],
    [null, 'null'],
    [undefined, 'undefined'],
    [{ a: 1 }, '{ a: 1 }'],
  ]) {
    assert.throws(
      () => tokenize(value as string),
      (error: { code: string; message: string }) =>
        error.code === 'ERR_INVALID_ARG' && error.message === `tokenize(): text is ${shown}; it must be a string`,
    )
  }
})

test('a prompt is the start token, tokens, the end token and zeros', () => {
  const row = encodePrompt('a clean origami cat.', 77)
  assert.instance(row, Int32Array)
  assert.equal([...row], [START_OF_TEXT, 320, 3772, 31832, 2368, 269, END_OF_TEXT, ...new Array(70).fill(0)])
})

test('a prompt may fill its context to the last token', () => {
  assert.equal([...encodePrompt('dog '.repeat(75), 77)], [START_OF_TEXT, ...new Array(75).fill(1929), END_OF_TEXT])
  assert.equal([...encodePrompt('', 2)], [START_OF_TEXT, END_OF_TEXT])
})

test('a prompt that is too long is refused with the number of tokens and its beginning', () => {
  assert.throws(
    () => encodePrompt('dog '.repeat(79), 77),
    (error: { code: string; message: string }) => {
      assert.is(error.code, 'ERR_INVALID_ARG')
      assert.is(
        error.message,
        `the prompt "${'dog '.repeat(15)}…" has 79 tokens, 4 more than the model's 75 + start and end; shorten it`,
      )
      return true
    },
  )
})

test('a prompt of sixty characters is quoted whole', () => {
  const quoted = (text: string) => {
    try {
      encodePrompt(text, 3)
    } catch (error) {
      return (error as Error).message.slice('the prompt '.length).split(' has')[0]
    }
    return undefined
  }
  assert.is(quoted('a '.repeat(30)), JSON.stringify('a '.repeat(30)))
  assert.is(quoted(`${'a '.repeat(30)}b`), JSON.stringify(`${'a '.repeat(30)}…`))
})

test('a quoted prompt is never cut inside an emoji', () => {
  assert.throws(() => encodePrompt(`a${'🐱'.repeat(80)}`, 8), new RegExp(`"a${'🐱'.repeat(59)}…" has`, 'u'))
})

test('the end of a prompt is the first of its largest ids: a text with an end inside is refused', () => {
  const row = encodePrompt('a <|startoftext|> b', 10)
  assert.is(row.indexOf(Math.max(...row)), 4)
  for (const text of ['a cat <|endoftext|> dog', '&lt;|ENDOFTEXT|&gt;']) {
    assert.throws(
      () => encodePrompt(text, 77),
      (error: { code: string; message: string }) =>
        error.code === 'ERR_INVALID_ARG' &&
        error.message ===
          `the prompt ${JSON.stringify(text)} contains <|endoftext|>, after which the model reads nothing; remove it`,
    )
  }
})

test.run()
