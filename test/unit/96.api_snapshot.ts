// A change of the public types must be intended: it shows in a file that is committed. Reads dist/, which npm run build:ts makes.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { apiText } from '../types/api_text.js'
import { root } from './support.js'

const update = 'UPDATE_API=1 node --import tsx test/unit/96.api_snapshot.ts'
const main = apiText(join(root, 'dist/index.d.ts'))
const photos = apiText(join(root, 'dist/photos/index.d.ts'))
const support = apiText(join(root, 'dist/support/index.d.ts'))

for (const [name, { text }] of Object.entries({ api: main, 'api.photos': photos, 'api.support': support })) {
  const snapshot = join(root, `test/types/${name}.snapshot.txt`)
  test(`the public types are those of test/types/${name}.snapshot.txt`, () => {
    if (process.env.UPDATE_API) writeFileSync(snapshot, text)
    const message = `the public API has changed. If that is intended, update the documents and run: ${update}`
    assert.fixture(text, readFileSync(snapshot, 'utf8'), message)
  })
}

test('all types that public types use are exported', () => {
  const exported = new Set(
    [...main.text.matchAll(/^export (?:declare )?(?:interface|type|class) (\w+)/gm)].map(([, name]) => name),
  )
  assert.equal(main.missing, [])
  assert.equal(
    photos.missing.filter((name) => !exported.has(name)),
    [],
  )
})

test('internal types and constructors are not public', () => {
  assert.not.match(main.text + photos.text, /Native|Jobs|@internal|ClassSetData|EncodedImageOwner/)
  for (const name of ['Segmenter', 'ClassSet', 'EncodedImage'])
    assert.match(main.text, new RegExp(`export declare class ${name} \\{(?:\\n    .*)*\\n    private constructor\\(\\);`))
})

test.run()
