// segment.jsonl: what clip-es segment remembers in its folder of results.
import { appendFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Manifest, settingsHash } from '../../cli/src/results/manifest.js'
import { maskId, RecordWriter, readRecord } from '../../cli/src/segment/record.js'
import { temporaryFolder } from './support.js'

const manifestWith = (backgroundPower: number): Manifest => ({
  ...{ format: 1, version: '1.0.0', model: '/models/x.pt', source: {} },
  settings: {
    ...{ set: 'photos', model: '0123456789abcdef', precision: 'float32', maxSide: '1024', classes: [{ name: 'cat' }] },
    ...{ template: 'a {}.', fusion: 'sentence', background: ['sky'], boxThreshold: 0.4 },
    ...{ backgroundPower, ignoreBelow: 0, refine: true, crf: false },
  },
})
const manifest = manifestWith(1)
const photo = (id: string, score = 0.5) => ({ id, photo: `/photos/${id}.jpg`, labels: [0], scores: [score] })
const linesOf = (out: string) => readFileSync(join(out, 'segment.jsonl'), 'utf8').split('\n').length - 1

test('the record has the last manifest and the last entry of each photo, with the settings that it was made with', () => {
  const out = temporaryFolder()
  assert.equal(readRecord(out), { manifest: undefined, photos: new Map(), torn: false })
  const first = new RecordWriter(out, manifest)
  first.add(photo('a/x'))
  first.add(photo('y'))
  const second = new RecordWriter(out, manifestWith(2))
  second.add(photo('y', 0.123456))
  const { manifest: last, photos, torn } = readRecord(out)
  assert.equal([last, torn], [manifestWith(2), false])
  assert.equal(
    [...photos.values()],
    [
      { ...photo('a/x'), settings: settingsHash(manifest.settings) },
      { ...photo('y', 0.1235), settings: settingsHash(manifestWith(2).settings) },
    ],
  )
})

test('a run that repeats an earlier one appends nothing', () => {
  const out = temporaryFolder()
  for (const lines of [3, 3]) {
    const writer = new RecordWriter(out, manifest)
    for (const id of ['x', 'y']) writer.add(photo(id))
    assert.is(linesOf(out), lines)
  }
  new RecordWriter(out, manifest).add(photo('x', 0.25))
  assert.is(linesOf(out), 4)
})

test('a line that was cut short is skipped, and the next one is on a line of its own', () => {
  const out = temporaryFolder()
  new RecordWriter(out, manifest).add(photo('x'))
  const file = join(out, 'segment.jsonl')
  truncateSync(file, readFileSync(file).length - 5)
  assert.equal([readRecord(out).torn, readRecord(out).photos.size], [true, 0])
  new RecordWriter(out, manifest).add(photo('y'))
  assert.equal([...readRecord(out).photos.keys()], ['y'])
  appendFileSync(file, 'null\n[]\n"text"\n{"id":3}\n')
  assert.equal([...readRecord(out).photos.keys()], ['y'])
  assert.equal(readRecord(out).manifest, manifest)
})

test('a record of another format is refused with its name', () => {
  const out = temporaryFolder()
  writeFileSync(join(out, 'segment.jsonl'), '{"manifest":{"format":2,"settings":{"classes":[]}}}\n')
  assert.throws(() => readRecord(out), /segment\.jsonl: its format is 2; this version reads format 1\. Choose another folder/)
})

test('a record without a list of classes is refused with its name', () => {
  const out = temporaryFolder()
  for (const settings of [{ classes: 3 }, {}, null, undefined]) {
    writeFileSync(join(out, 'segment.jsonl'), `${JSON.stringify({ manifest: { format: 1, settings } })}\n`)
    assert.throws(() => readRecord(out), /segment\.jsonl: its settings have no list of classes\. Choose another folder/)
  }
})

test('the id of a mask is its path in the folder without the extension', () => {
  assert.is(maskId('/out', '/out/a/x.jpg.png'), 'a/x.jpg')
  assert.is(maskId('out', 'out/x.png'), 'x')
})

test.run()
