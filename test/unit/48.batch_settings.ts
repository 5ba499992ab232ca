// What the masks of a batch depend on, which classes its photos have, and which photos it may read.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BatchRecords } from '../../cli/src/serve/batches/record.js'
import { checkPhotos, commonLabels, indicesOf, settingsOf } from '../../cli/src/serve/batches/settings.js'
import type { BatchTask } from '../../server/src/index.js'
import { backgrounds, defaults, type Segmenter, templates } from '../../ts/index.js'
import { temporaryFolder } from './support.js'

const names = ['cat', 'dog', 'tv monitor']
const task = (options: BatchTask['options'] = {}, more: object = {}): BatchTask => ({
  photos: [],
  classes: { classes: names.map((name) => ({ name })), ...more },
  options,
})
const refused = (work: () => unknown, message: RegExp) =>
  assert.throws(work, (error: { code: string; message: string }) => {
    assert.is(error.code, 'ERR_INVALID_ARG')
    assert.match(error.message, message)
    return true
  })

test('the settings of a batch have every default, and what the request says instead', () => {
  const segmenter = { model: { fingerprint: 'f', precision: 'float32' } } as Segmenter
  const model = { model: 'f', precision: 'float32', maxSide: '640' }
  const { boxThreshold, backgroundPower, ignoreBelow, fusion } = defaults
  assert.equal(settingsOf(task(), segmenter, 640), {
    ...{ set: 'batch', ...model, classes: names.map((name) => ({ name })) },
    ...{ template: templates.clip_es, background: backgrounds.voc, fusion },
    ...{ boxThreshold, backgroundPower, ignoreBelow, refine: true, crf: false },
  })
  const classes = { template: 'a {}', background: ['sky'], fusion: 'cam' }
  const options = { boxThreshold: 0.2, backgroundPower: 2, ignoreBelow: 0.9, refine: false, crf: true, flip: true }
  assert.equal(settingsOf(task({ ...options, labels: 'auto', labelThreshold: 0.3 }, classes), segmenter, 640), {
    ...{ set: 'batch', ...model, classes: names.map((name) => ({ name })), ...classes, ...options },
    labelThreshold: 0.3,
  })
})

test('labels are names or numbers of classes, and come ascending and once', () => {
  assert.equal(indicesOf(['dog', 0, 'DOG', 1], names), [0, 1])
  assert.equal(indicesOf(['tv_monitor', 2], names), [2])
  refused(() => indicesOf([3], names), /there is no class 3; the classes are numbered from 0 to 2/)
  refused(() => indicesOf([-1], names), /there is no class -1/)
  refused(() => indicesOf(['dgo'], names), /no class named 'dgo'; did you mean 'dog'\?/)
  refused(() => indicesOf([], names), /labels is an empty list; name at least one class, or leave labels out/)
})

test('photos without labels of their own have those of the request, else every class, and none where CLIP finds them', () => {
  assert.equal(commonLabels(task()), [0, 1, 2])
  assert.equal(commonLabels(task({ labels: ['dog', 0] })), [0, 1])
  assert.is(commonLabels(task({ labels: 'auto' })), undefined)
})

test('photos of a batch are files in the folder of the server', () => {
  const folder = temporaryFolder()
  const root = join(folder, 'root')
  mkdirSync(join(root, 'sub'), { recursive: true })
  for (const file of ['root/a.png', 'root/sub/b.png', 'outside.png']) writeFileSync(join(folder, file), '')
  symlinkSync(join(folder, 'outside.png'), join(root, 'out.png'))
  symlinkSync('a.png', join(root, 'in.png'))
  const check = (...paths: (string | undefined)[]) =>
    checkPhotos(
      paths.map((path) => (path === undefined ? { name: 'n', url: 'https://photos.test/n' } : { name: path, path })),
      root,
    )
  check('a.png', undefined, 'sub/b.png', 'in.png')
  for (const path of ['none.png', 'sub', 'out.png', '../outside.png'])
    refused(() => check('a.png', path), /there is no photo '.*' in the folder of the server's --batch-root; check its path/)
  symlinkSync(root, join(folder, 'link'))
  checkPhotos([{ name: 'a', path: 'a.png' }], join(folder, 'link'))
})

test('records of batches are found by their ids, in the order in which they were made', () => {
  const root = temporaryFolder()
  const records = new BatchRecords(root)
  const id = (digit: string) => `00000000-0000-4000-8000-00000000000${digit}`
  const record = (digit: string, created: string) =>
    ({ format: 1, photos: [], settings: {}, state: { id: id(digit), state: 'waiting', created, photos: 0 } }) as never
  records.write(record('b', '2026-01-02'))
  records.write(record('a', '2026-01-03'))
  records.write(record('c', '2026-01-01'))
  const ids = () => new BatchRecords(root).all().map(({ state }) => state.id)
  assert.equal(ids(), [id('c'), id('b'), id('a')])
  assert.equal(records.read(id('a')), record('a', '2026-01-03'))
  mkdirSync(records.folder('not an id'))
  mkdirSync(records.folder(id('d')))
  for (const none of [
    id('d'),
    id('e'),
    id('a').toUpperCase(),
    id('a').slice(1),
    `${id('a')}0`,
    `../clip-es-batches/${id('a')}`,
    '',
  ])
    assert.is(records.read(none), undefined, none)
  assert.is(ids().length, 3)
  writeFileSync(join(records.folder(id('a')), 'batch.json'), '{"format":2}')
  assert.throws(() => records.read(id('a')), /batch\.json: its format is 2; this version reads format 1/)
})

test.run()
