// A change of the public types must be meant: it shows up in a file that is committed. Reads dist/, which npm run build:ts makes.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { apiText } from '../types/api_text.js'
import { root } from './support.js'

const snapshot = join(root, 'test/types/api.snapshot.txt')
const update = 'UPDATE_API=1 node --import tsx test/unit/96.api_snapshot.ts'
const { text, missing } = apiText(join(root, 'dist/index.d.ts'))

test('the public types are those of test/types/api.snapshot.txt', () => {
  if (process.env.UPDATE_API) writeFileSync(snapshot, text)
  const expected = readFileSync(snapshot, 'utf8')
  const message = `the public API has changed. If that is meant, update docs/api.md and run: ${update}`
  assert.fixture(text, expected, message)
})

test('every type that a public one uses is exported, too', () => {
  assert.equal(missing, [])
})

test('nothing internal is public', () => {
  assert.not.match(text, /Native|Jobs|@internal|ClassSetData|EncodedImageOwner/)
  for (const name of ['Segmenter', 'ClassSet', 'EncodedImage'])
    assert.match(text, new RegExp(`export declare class ${name} \\{(?:\\n    .*)*\\n    private constructor\\(\\);`))
})

test.run()
