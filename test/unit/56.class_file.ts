import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { nearest } from '../../ts/core/nearest.js'
import { parseClassFile, readClassFile } from '../../ts/photos/class_file.js'

const folder = mkdtempSync(path.join(tmpdir(), 'clip-es-'))
test.after(() => rmSync(folder, { recursive: true }))

function refused(text: string, message: string): void {
  assert.throws(
    () => parseClassFile(text, 'pets.json'),
    (error: { code: string; message: string }) => {
      assert.is(error.code, 'ERR_INVALID_ARG')
      assert.is(error.message, `pets.json: ${message}`)
      return true
    },
  )
}

/** A class file with `classes` on line 2 and, if given, something else on line 3. */
const file = (classes: string, more = '') => `{\n"classes": ${classes}${more && `,\n${more}`}\n}`

test('a file with every key is read unchanged', () => {
  const value = {
    template: ['a photo of a {}.', 'a clean origami {}.'],
    fusion: 'feature',
    boxThreshold: 0.5,
    background: ['grass', 'sky'],
    classes: [
      { name: 'cat', synonyms: ['cat', 'kitten'], colour: '#Ff8000' },
      { name: 'dog', colour: '#f80', labelThreshold: 0.25 },
    ],
  }
  assert.equal(parseClassFile(JSON.stringify(value, null, 2), 'pets.json'), value)
})

test('only the key classes is required, and absent keys stay absent', () => {
  assert.equal(parseClassFile('{"classes":[{"name":"cat"}]}', 'pets.json'), { classes: [{ name: 'cat' }] })
})

test('an empty background means no background words', () => {
  assert.equal(parseClassFile(file('[{"name":"cat"}]', '"background": []'), 'pets.json').background, [])
})

test('a syntax error has its line and column', () => {
  refused('{\n  "classes": [\n    { "name" "cat" }\n  ]\n}', 'line 3, column 14: Colon expected; the file must be JSON')
  refused('{\r\n  "classes": [{ "name": "cat" }],\r\n}', 'line 3, column 1: Property name expected; the file must be JSON')
  refused('{ // pets\n"classes": [] }', 'line 1, column 3: Invalid comment token; the file must be JSON')
  refused('', 'line 1, column 1: Value expected; the file must be JSON')
  refused('{"classes":[{"name":"cat"}]} {}', 'line 1, column 30: End of file expected; the file must be JSON')
})

test('a file that is not an object is refused', () => {
  refused('\n["cat"]', 'line 2: the file is ["cat"]; it must be an object')
})

test('an unknown key is refused with the nearest known one', () => {
  refused(
    file('[{"name":"cat"}]', '"boxTreshold": 0.4'),
    'line 3: boxTreshold is not known (did you mean boxThreshold?); known here: template, fusion, boxThreshold, background, classes',
  )
  refused(
    file('[{"name":"cat",\n"color":"#ff0000"}]'),
    'line 3: classes[0].color is not known (did you mean colour?); known here: name, synonyms, colour, labelThreshold',
  )
  refused(
    file('[{"name":"cat"}]', '"toString": 1'),
    'line 3: toString is not known; known here: template, fusion, boxThreshold, background, classes',
  )
})

test('a repeated key is refused', () => {
  refused(file('[{"name":"cat"}]', '"classes": [{"name":"dog"}]'), 'line 3: classes is there twice; keep one')
})

test('a missing key is refused', () => {
  refused('{"fusion": "cam"}', 'line 1: classes is missing')
  refused(file('[{"name":"cat"},\n{"synonyms":["dog"]}]'), 'line 3: classes[1].name is missing')
})

test('classes are 1 to 254 objects with unique names that are not empty', () => {
  refused(file('[]'), 'line 2: classes is []; it must be a list of 1 to 254 classes that is not empty')
  refused(file('{"name": "cat"}'), 'line 2: classes is {"name": "cat"}; it must be a list of 1 to 254 classes that is not empty')
  refused(file('["cat"]'), 'line 2: classes[0] is "cat"; it must be an object')
  refused(file('[{"name":" "}]'), 'line 2: classes[0].name is " "; it must be a string that is not empty')
  refused(file('[{"name":5}]'), 'line 2: classes[0].name is 5; it must be a string that is not empty')
  refused(
    file('[{"name":"cat"},{"name":"dog"},{\n"name":"cat"}]'),
    'line 3: classes[2].name is "cat", as classes[0].name is; names must be unique',
  )
  const many = (count: number) => file(JSON.stringify(Array.from({ length: count }, (_, i) => ({ name: `n${i}` }))))
  refused(many(255), 'line 2: classes has 255 classes; at most 254 fit into a mask')
  assert.is(parseClassFile(many(254), 'pets.json').classes.length, 254)
})

test("classes that are equal or empty after CLIP's text cleaning are refused", () => {
  refused(
    file('[{"name":"Cat"},\n{"name":"dog"},\n{"name":" cat "}]'),
    'line 4: classes[2] is read by CLIP as classes[0] is; leave one out, or give them other synonyms',
  )
  refused(
    file('[{"name":"a","synonyms":["x","Y"]},{"name":"b","synonyms":["X","y"]}]'),
    'line 2: classes[1] is read by CLIP as classes[0] is; leave one out, or give them other synonyms',
  )
  const different = '[{"name":"mouse","synonyms":["computer mouse"]},{"name":"Mouse"}]'
  assert.is(parseClassFile(file(different), 'pets.json').classes.length, 2)
  refused(
    file('[{"name":"cat"},\n{"name":"\\u0001"}]'),
    'line 3: classes[1]: a word is "\\u0001"; it must be a word that CLIP reads: it drops these characters',
  )
})

test('synonyms and background are lists of strings', () => {
  refused(
    file('[{"name":"cat","synonyms":[]}]'),
    'line 2: classes[0].synonyms is []; it must be a list of strings that is not empty',
  )
  refused(
    file('[{"name":"cat","synonyms":["kitty",\n""]}]'),
    'line 3: classes[0].synonyms[1] is ""; it must be a string that is not empty',
  )
  refused(
    file('[{"name":"cat"}]', '"background": "sky"'),
    'line 3: background is "sky"; it must be a list of strings that is not empty',
  )
  refused(
    file('[{"name":"cat"}]', '"background": ["sky", null]'),
    'line 3: background[1] is null; it must be a string that is not empty',
  )
})

test('a colour is three or six hexadecimal digits after a #', () => {
  for (const colour of ['"red"', '"#ff80"', '"#ff80000"', '[255,0,0]']) {
    refused(
      file(`[{"name":"cat","colour":${colour}}]`),
      `line 2: classes[0].colour is ${colour}; it must be a colour: '#rrggbb' or '#rgb'`,
    )
  }
})

test('a template has its braces exactly once', () => {
  refused(
    file('[{"name":"cat"}]', '"template": "a cat"'),
    'line 3: template is "a cat"; it must be a string with {} in it exactly once, where the word goes',
  )
  refused(
    file('[{"name":"cat"}]', '"template": ["a {}",\n"{} {}"]'),
    'line 4: template[1] is "{} {}"; it must be a string with {} in it exactly once, where the word goes',
  )
  refused(file('[{"name":"cat"}]', '"template": []'), 'line 3: template is []; it must be a list of templates that is not empty')
  refused(
    file('[{"name":"cat"}]', '"template": 1'),
    'line 3: template is 1; it must be a string with {} in it exactly once, where the word goes',
  )
  refused(
    file('[{"name":"cat"}]', '"template": [["a {}"]]'),
    'line 3: template[0] is ["a {}"]; it must be a string with {} in it exactly once, where the word goes',
  )
})

test('an unknown fusion and a threshold out of range are refused', () => {
  refused(
    file('[{"name":"cat"}]', '"fusion": "features"'),
    'line 3: fusion is "features"; it must be one of sentence, feature, cam (did you mean feature?)',
  )
  refused(file('[{"name":"cat"}]', '"fusion": true'), 'line 3: fusion is true; it must be one of sentence, feature, cam')
  for (const value of [0, 0.99])
    assert.is(parseClassFile(file('[{"name":"cat"}]', `"boxThreshold": ${value}`), 'pets.json').boxThreshold, value)
  for (const value of ['1', '-0.1', '"0.4"', '40']) {
    refused(
      file('[{"name":"cat"}]', `"boxThreshold": ${value}`),
      `line 3: boxThreshold is ${value}; it must be a number from 0 to below 1`,
    )
  }
})

test('a label threshold is a number from 0 to 1', () => {
  for (const value of [0, 0.15, 1]) {
    const { classes } = parseClassFile(file(`[{"name":"cat","labelThreshold":${value}}]`), 'pets.json')
    assert.is(classes[0]?.labelThreshold, value)
  }
  for (const value of ['-0.1', '1.5', '"0.4"', 'null'])
    refused(
      file(`[{"name":"cat","labelThreshold":${value}}]`),
      `line 2: classes[0].labelThreshold is ${value}; it must be a number from 0 to 1`,
    )
})

test('the error for a long value shows its beginning', () => {
  refused(
    file(`[{"name":"cat","colour":"${'x'.repeat(100)}"}]`),
    `line 2: classes[0].colour is "${'x'.repeat(59)}…; it must be a colour: '#rrggbb' or '#rgb'`,
  )
})

test('a file is read with or without a byte-order mark', () => {
  const at = path.join(folder, 'bom.json')
  writeFileSync(at, '\ufeff{"classes":[{"name":"猫"}]}')
  assert.equal(readClassFile(at), { classes: [{ name: '猫' }] })
})

test('a file that cannot be read, or is not UTF-8, is refused by name', () => {
  const missing = path.join(folder, 'missing.json')
  assert.throws(
    () => readClassFile(missing),
    (error: { code: string; message: string }) =>
      error.code === 'ERR_INVALID_ARG' &&
      error.message.startsWith(`${missing}: cannot be read (ENOENT`) &&
      error.message.endsWith('); give the path of a class file'),
  )
  const latin1 = path.join(folder, 'latin1.json')
  writeFileSync(latin1, Buffer.from('{"classes":[{"name":"café"}]}', 'latin1'))
  assert.throws(
    () => readClassFile(latin1),
    (error: { code: string; message: string }) =>
      error.code === 'ERR_INVALID_ARG' && error.message === `${latin1}: is not UTF-8 text; save it as UTF-8`,
  )
})

test('the nearest word differs in at most a third of its letters', () => {
  const known = ['template', 'fusion', 'boxThreshold']
  assert.is(nearest('fusoin', known), 'fusion')
  assert.is(nearest('TEMPLATES', known), 'template')
  assert.is(nearest('threshold', known), 'boxThreshold')
  assert.is(nearest('colour', known), undefined)
  assert.is(nearest('x', ['k']), undefined)
  assert.is(nearest('cb', ['ca']), 'ca', 'one letter of two')
  assert.is(nearest('', known), undefined)
})

test.run()
