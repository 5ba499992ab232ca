// Files in a folder of results: how they are named and written, and what is left after a failure.
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { writeParts } from '../../cli/src/files/write_parts.js'
import { folderId, readFolderId } from '../../cli/src/results/folder_id.js'
import { writeFoundLabels } from '../../cli/src/results/found_labels.js'
import { Journal, type JournalEntry, photoState } from '../../cli/src/results/journal.js'
import { JournalIndex } from '../../cli/src/results/journal_index.js'
import { journalFolder, journalParts, parseEntry } from '../../cli/src/results/journal_parts.js'
import { removeLeftovers, workerPart } from '../../cli/src/results/leftovers.js'
import { Lock } from '../../cli/src/results/lock.js'
import { claimFolder, readManifest } from '../../cli/src/results/manifest.js'
import { ResultStore, resultFile, resultFolder } from '../../cli/src/results/store.js'
import { messageOf, openBelow, refusal, testFolder } from './support.js'

const { at, write, reset } = testFolder()
test.before.each(reset)

const entry = (id: string, more: object = {}): JournalEntry => ({
  id,
  photo: `/${id}`,
  bytes: 1,
  modified: 2,
  settings: 's',
  ...more,
})

test('a journal has a line for each photo, and its lock names the process', () => {
  const journal = new Journal(at(), '2-of-3')
  const began = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)?.split(' ')[19]
  assert.is(readFileSync(at('journal/2-of-3.lock'), 'utf8'), `${hostname()} ${process.pid} ${began}\n`)
  journal.add(entry('a'))
  journal.add(entry('b', { failed: 'no' }))
  const lines = [entry('a'), entry('b', { failed: 'no' })].map((line) => `${JSON.stringify(line)}\n`)
  assert.is(readFileSync(at('journal/2-of-3.jsonl'), 'utf8'), lines.join(''))
  assert.is(
    refusal(() => new Journal(at(), '2-of-3')),
    `process ${process.pid} is working on this part of ${at()}; wait for it, or do another part with --shard`,
  )
  journal.close()
  assert.equal(readdirSync(at('journal')), ['2-of-3.jsonl'])
  assert.is(journalFolder(at()), at('journal'))
  write('journal/1-of-3.jsonl.old')
  assert.equal(journalParts(at()), [at('journal/2-of-3.jsonl')])
  assert.equal(journalParts(at('none')), [])
})

test('a lock that is incomplete, or of a process that is gone, is replaced', () => {
  const own = `${hostname()} ${process.pid}`
  for (const text of ['', hostname(), own, `${own} 1`, `${hostname()} 999999999 1`, `other ${process.pid} 1`]) {
    write('lock', text)
    new Lock(at('lock'), () => 'busy').release()
    assert.not(existsSync(at('lock')))
  }
})

test('a part of the journal that is not a file is refused, and lines that are not entries are skipped', () => {
  mkdirSync(at('journal/1-of-1.jsonl'), { recursive: true })
  const message = `${at('journal/1-of-1.jsonl')} is not a regular file; remove it, or choose another folder with --out`
  assert.is(
    refusal(() => new Journal(at(), '1-of-1')),
    message,
  )
  for (const line of ['', '{"id":1}', '{}', 'null', '{"id":"a"']) assert.is(parseEntry(Buffer.from(line)), undefined, line)
  assert.equal(parseEntry(Buffer.from('{"id":"a"}')), { id: 'a' })
})

test('the state of a photo is its size and its time in whole milliseconds, and 0 for one that is gone', () => {
  write('photo', '12345')
  assert.equal(photoState(at('photo')), { bytes: 5, modified: Math.floor(statSync(at('photo')).mtimeMs) })
  assert.equal(photoState(at('none')), { bytes: 0, modified: 0 })
})

test('an index keeps no files open after it was closed, and reads on', async () => {
  for (let part = 0; part < 103; part++) write(`journal/${part}-of-103.jsonl`, `${JSON.stringify(entry(`p${part}`))}\n`)
  const index = await JournalIndex.read(at())
  const read = () => Array.from({ length: 103 }, (_, part) => index.get(`p${part}`)?.id)
  assert.equal(
    read(),
    Array.from({ length: 103 }, (_, part) => `p${part}`),
  )
  assert.ok(openBelow(at()) > 0 && openBelow(at()) <= 100, 'at most a hundred')
  index.close()
  assert.is(openBelow(at()), 0)
  assert.equal([index.get('p7'), index.get('none')], [entry('p7'), undefined])
  index.close()
  assert.is(openBelow(at()), 0)
})

test('an index has the last entry that counts: a failure with the same settings does not', async () => {
  const lines = [
    ...[entry('a'), entry('a', { failed: 'no' }), entry('b', { settings: 't' }), entry('b', { failed: 'no' })],
    ...[entry('c', { failed: 'no' }), entry('c', { bytes: 9 })],
  ]
  write('journal/1-of-1.jsonl', lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  const index = await JournalIndex.read(at())
  assert.equal([...index], [entry('a'), entry('b', { failed: 'no' }), entry('c', { bytes: 9 })])
  index.close()
})

test('labels that were found are a file as --labels reads it: photos that are done with these settings, by name', async () => {
  const lines = [
    entry('b', { labels: [1, 0], presence: [0.5, 0.25] }),
    entry('a "x"', { labels: [], presence: [] }),
    entry('c', { failed: 'no' }),
    entry('d', { labels: [1], settings: 'other' }),
    entry('e'),
  ]
  write('journal/1-of-1.jsonl', lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  assert.is(await writeFoundLabels(at(), ['cat', 'dog'], 's'), at('labels.json'))
  assert.is(
    readFileSync(at('labels.json'), 'utf8'),
    `{\n ${[
      '"a \\"x\\"": {"labels":[],"presence":[]}',
      '"b": {"labels":["dog","cat"],"presence":[0.5,0.25]}',
      '"e": {"labels":[],"presence":[]}',
    ].join(',\n ')}\n}\n`,
  )
  assert.is(openBelow(at()), 0)
})

test('a file of parts replaces another one, or nothing is left of it', async () => {
  write('file', 'old')
  symlinkSync('file', at('link'))
  await writeParts(at('link'), ['a', 'b'])
  assert.is(readFileSync(at('file'), 'utf8'), 'ab')
  function* failing() {
    yield 'x'
    throw new Error('no')
  }
  assert.is(await messageOf(writeParts(at('file'), failing())), 'no')
  assert.is(readFileSync(at('file'), 'utf8'), 'ab')
  mkdirSync(at('folder'))
  assert.is(await messageOf(writeParts(at('folder'), ['a'])), `${at('folder')} is a folder; only regular files are replaced`)
  assert.equal(readdirSync(at()).sort(), ['file', 'folder', 'link'])
})

test('the id of a folder is a line of its own file, which may not be empty', () => {
  const id = folderId(at())
  assert.match(id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  assert.is(readFileSync(at('journal/folder-id'), 'utf8'), `${id}\n`)
  write('journal/folder-id', ' \n')
  assert.is(readFolderId(at()), undefined)
  assert.throws(
    () => folderId(at()),
    (error: Error) => error.message === `${at('journal/folder-id')} is empty; delete it and run the same command again`,
  )
  write('taken/journal/folder-id/x')
  assert.throws(() => folderId(at('taken')), /EISDIR|it is a folder/)
})

test('leftovers are those of workers that are not alive, and of nothing else', () => {
  assert.is(workerPart('w'), 'queue-w')
  removeLeftovers(at(), () => false)
  const kept = [
    'journal/queue-a.lock',
    'journal/queue-b.lockx',
    'journal/x-queue-b.lock',
    'journal/queue-b.jsonl',
    '.partial-1/x',
  ]
  for (const path of [...kept, 'journal/queue-b.lock', '.partial-queue-b/x', '.partial-queue-a/x']) write(path)
  removeLeftovers(at(), (worker) => worker === 'a')
  for (const path of kept) assert.ok(existsSync(at(path)), path)
  assert.equal(readdirSync(at()).sort(), ['.partial-1', '.partial-queue-a', 'journal'])
  assert.equal(readdirSync(at('journal')).includes('queue-b.lock'), false)
})

test('results have a folder for each kind, and names within it', () => {
  assert.equal(
    (['mask', 'confidence', 'cams'] as const).map((kind) => [resultFile('o', kind, 'a/b'), resultFolder('o', kind)]),
    [
      ['o/masks/a/b.png', 'o/masks'],
      ['o/confidence/a/b.png', 'o/confidence'],
      ['o/cams/a/b.npz', 'o/cams'],
    ],
  )
  assert.is(resultFile('o', 'mask', 'a/../b..c'), 'o/masks/b..c.png')
  assert.is(
    refusal(() => resultFile('o', 'mask', '../b')),
    'its name points outside the results folder: ../b',
  )
  const store = new ResultStore(at(), 's')
  assert.ok(existsSync(at('.partial-s')))
  store.close()
  store.close()
  assert.equal(readdirSync(at()), [])
})

test('the manifest is a file for people, too', () => {
  const manifest = { format: 1, version: '1', model: 'm', source: {}, settings: { classes: [{ name: 'a' }] } } as never
  const discard = () => assert.unreachable()
  claimFolder(at(), manifest, false, discard)
  assert.is(readFileSync(at('manifest.json'), 'utf8'), `${JSON.stringify(manifest, null, 1)}\n`)
  assert.equal(readManifest(at()), manifest)
  assert.is(readManifest(at('none')), undefined)
  const other = { ...(manifest as object), settings: { classes: [{ name: 'b' }] } } as never
  assert.is(
    refusal(() => claimFolder(at(), other, false, discard)),
    `${at()} holds results of other settings: classes was [{"name":"a"}] and is [{"name":"b"}]. Choose another folder with --out, or replace them with --overwrite`,
  )
  write('manifest.json', '{"format":2}')
  assert.is(
    refusal(() => readManifest(at())),
    `${at('manifest.json')}: its format is 2; this version reads format 1; choose another folder, or delete this file`,
  )
})

test.run()
