import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openResults, readExported } from '../../cli/src/export/source.js'
import { Journal, type JournalEntry } from '../../cli/src/results/journal.js'
import { claimFolder, type Manifest, settingsHash } from '../../cli/src/results/manifest.js'
import { resultFile } from '../../cli/src/results/store.js'
import { RecordWriter } from '../../cli/src/segment/record.js'
import { encodeMask } from '../../ts/photos/mask_png.js'
import { mapOf } from './masks.js'

let folder: string
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'clip-es-export-'))
})
test.after.each(() => rmSync(folder, { recursive: true }))

const manifest: Manifest = {
  format: 1,
  version: '1.0.0',
  model: '/models/x.pt',
  source: { kind: 'folder', folder: '/photos' },
  settings: {
    set: 'folder',
    model: '0123456789abcdef',
    precision: 'float32',
    maxSide: '1024',
    classes: [{ name: 'cat', colour: '#ff0000' }, { name: 'dog' }],
    template: 'a {}.',
    fusion: 'sentence',
    background: ['sky'],
    boxThreshold: 0.4,
    backgroundPower: 1,
    ignoreBelow: 0,
    refine: true,
    crf: false,
  },
}
const settings = settingsHash(manifest.settings)

async function writeMask(file: string, source?: string): Promise<void> {
  mkdirSync(dirname(file), { recursive: true })
  const { data, width, height } = mapOf('.12', '*12')
  writeFileSync(file, await encodeMask(data, { width, height, photo: source }))
}

const entry = (id: string, more: Partial<JournalEntry> = {}): JournalEntry => ({
  ...{ id, photo: `/photos/${id}.jpg`, labels: [0, 1], scores: [0.25, 0.5], bytes: 1, modified: 1, settings },
  ...more,
})

/** A folder as `dataset` leaves it. */
async function makeRun(entries: readonly JournalEntry[], shard = '1-of-1', of: Manifest | undefined = manifest): Promise<void> {
  const journal = new Journal(folder, shard)
  for (const one of entries) {
    journal.add(one)
    if (one.failed === undefined) await writeMask(resultFile(folder, 'mask', one.id))
  }
  journal.close()
  if (of) claimFolder(folder, of, true, () => undefined)
}

function refused(work: () => unknown, message: RegExp): void {
  assert.throws(work, (error: { code: string; message: string }) => {
    assert.is(error.code, 'ERR_INVALID_ARG')
    assert.match(error.message, message)
    return true
  })
}

test('the photos of a data set are those of the journal, in order, with labels, scores and classes', async () => {
  await makeRun([entry('b/y', { labels: [1], scores: [0.75] }), entry('a')])
  const { classes, photos, warnings, masks } = openResults(folder, {})
  assert.equal(classes, manifest.settings.classes)
  assert.equal(warnings, [])
  assert.is(masks, join(folder, 'masks'))
  assert.equal(
    photos.map(({ id, fileName, photo, scores }) => [id, fileName, photo, [...scores]]),
    [
      // biome-ignore format: a table
      ['a', 'a.jpg', '/photos/a.jpg', [[1, 0.25], [2, 0.5]]],
      ['b/y', 'b/y.jpg', '/photos/b/y.jpg', [[2, 0.75]]],
    ],
  )
  const photo = await readExported(photos[0] as (typeof photos)[0])
  assert.equal([photo.width, photo.height, [...photo.mask]], [3, 2, [0, 1, 2, 255, 1, 2]])
})

test('photos that failed, and results of other settings, are left out with a warning', async () => {
  await makeRun([entry('a'), entry('b', { failed: 'it is empty' }), entry('c', { settings: 'others' })])
  const { photos, warnings } = openResults(folder, {})
  assert.equal(
    photos.map(({ id }) => id),
    ['a'],
  )
  assert.equal(warnings, ['left out: 1 photo that failed (b)', 'left out: 1 result of other settings (c)'])
})

test('masks that the journal lists and that are missing are an error, with their names', async () => {
  await makeRun(['a', 'b', 'c', 'd', 'e'].map((id) => entry(id)))
  for (const id of ['b', 'c', 'd', 'e']) rmSync(resultFile(folder, 'mask', id))
  refused(() => openResults(folder, {}), /masks lacks 4 masks that the journal lists \(b, c, d, …\); start the command/)
})

test('a run that is not complete, or was killed, gives a warning', async () => {
  await makeRun([entry('a')])
  writeFileSync(join(folder, 'journal', '1-of-1.lock'), 'host 1 2\n')
  assert.match(openResults(folder, {}).warnings.join(), /has not ended, or was killed \(journal\/1-of-1.lock\)/)
})

test('missing shards give a warning, unless all photos are done', async () => {
  await makeRun([entry('a')], '1-of-3')
  await makeRun([entry('b')], '3-of-3')
  assert.match(openResults(folder, {}).warnings.join(), /has 3 shards, of which 2 began: photos may be missing/)
  await makeRun([entry('c')], '1-of-1')
  assert.equal(openResults(folder, {}).warnings, [])
})

test('results of crf have the classes of their data set, and their journal has its own hashes', async () => {
  const refined = { ...manifest, settings: { ...manifest.settings, crf: {} } } as Manifest
  await makeRun([entry('a', { settings: 'hash 12 34', scores: undefined })], 'crf', refined)
  const { photos, classes, warnings } = openResults(folder, {})
  assert.equal([photos.length, photos[0]?.scores.size, classes.length, warnings.length], [1, 0, 2, 0])
})

test('masks without a record know their photos, and their classes must be named', async () => {
  await writeMask(join(folder, 'p/x.png'), '../../photos/p/x.jpeg')
  await writeMask(join(folder, 'p/y.jpg.png'), '../../photos/p/y.jpg')
  const { photos, classes, masks } = openResults(folder, { classes: ['cat', 'dog'] })
  assert.equal([masks, classes.map(({ name }) => name)], [folder, ['cat', 'dog']])
  assert.equal(
    photos.map(({ id, fileName, photo }) => [id, fileName, photo]),
    [
      ['p/x', 'p/x.jpeg', join(folder, '../photos/p/x.jpeg')],
      ['p/y.jpg', 'p/y.jpg', join(folder, '../photos/p/y.jpg')],
    ],
  )
  refused(() => openResults(folder, {}), /do not say what their classes are; name them .*--classes cat,dog or --class-file/)
  refused(() => openResults(folder, { classFile: 'voc', classes: ['cat', 'dgo'] }), /unknown class of voc 'dgo'/)
  const ofFile = openResults(folder, { classFile: 'voc', classes: ['dog', 'cat'] })
  assert.equal(
    ofFile.classes.map(({ name }) => name),
    ['dog', 'cat'],
  )
})

test('the record of segment has the classes and scores of its masks, and masks of other settings are left out', async () => {
  for (const id of ['x', 'y', 'z']) await writeMask(join(folder, `p/${id}.png`), `../../photos/p/${id}.jpg`)
  const before = new RecordWriter(folder, { ...manifest, settings: { ...manifest.settings, classes: [{ name: 'bird' }] } })
  before.add({ id: 'p/x', photo: '/photos/p/x.jpg', labels: [0], scores: [0.75] })
  before.add({ id: 'p/y', photo: '/photos/p/y.jpg', labels: [0], scores: [0.75] })
  new RecordWriter(folder, manifest).add({ id: 'p/x', photo: '/photos/p/x.jpg', labels: [1], scores: [0.5] })
  const { photos, classes, warnings } = openResults(folder, {})
  assert.equal(classes, manifest.settings.classes)
  assert.equal(
    photos.map(({ id, scores, photo }) => [id, [...scores], photo]),
    [['p/x', [[2, 0.5]], join(folder, '../photos/p/x.jpg')]],
  )
  assert.is(warnings.length, 1)
  assert.match(
    warnings[0] ?? '',
    /^left out: 2 masks of other settings than the last run of clip-es segment \(p\/y, p\/z\); name/,
  )
  const named = openResults(folder, { classes: ['bird', 'dog'] })
  assert.equal([named.photos.length, named.warnings.length], [3, 0])
  assert.equal(
    named.photos.map(({ scores }) => [...scores]),
    [[[2, 0.5]], [[1, 0.75]], []],
  )
})

test('--photos names the folder of the photos', async () => {
  await writeMask(join(folder, 'out/p/x.png'))
  mkdirSync(join(folder, 'photos/p'), { recursive: true })
  writeFileSync(join(folder, 'photos/p/x.webp'), '')
  const open = (photos: string) => openResults(join(folder, 'out'), { classes: ['cat', 'dog'], photos: join(folder, photos) })
  assert.equal(
    open('photos').photos.map(({ fileName, photo }) => [fileName, photo]),
    [['p/x.webp', join(folder, 'photos/p/x.webp')]],
  )
  refused(() => open('photos/p'), /there is no photo of the mask p\/x in .*photos\/p; name the folder from which/)
  writeFileSync(join(folder, 'photos/p/x.jpg'), '')
  refused(() => open('photos'), /p\/x.jpg and p\/x.webp in .* are photos of the mask p\/x; keep one of them/)
})

test('a folder without results is refused', () => {
  refused(() => openResults(join(folder, 'none'), {}), /there is no folder .*none; name one that clip-es dataset, crf or segment/)
  refused(() => openResults(folder, {}), /there are no masks of clip-es in /)
  writeFileSync(join(folder, 'photo.png'), 'not a mask of ours')
  refused(() => openResults(folder, { classes: ['cat'] }), /there are no masks of clip-es in /)
})

test.run()
