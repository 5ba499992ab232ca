import { spawnSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isDone, Journal, type JournalEntry, photoState, readJournal } from '../../cli/src/results/journal.js'
import {
  claimFolder,
  differences,
  type Manifest,
  type RunSettings,
  readManifest,
  settingsHash,
} from '../../cli/src/results/manifest.js'
import { ResultStore, resultFile } from '../../cli/src/results/store.js'
import { mapSettings } from '../../cli/src/shared/maps_option.js'

let out: string
test.before.each(() => {
  out = mkdtempSync(join(tmpdir(), 'clip-es-'))
})
test.after.each(() => rmSync(out, { recursive: true }))

const settings: RunSettings = {
  set: 'folder',
  model: '0123456789abcdef',
  precision: 'float32',
  maxSide: '1024',
  classes: [{ name: 'cat' }, { name: 'dog', synonyms: undefined }],
  template: 'a clean origami {}.',
  fusion: 'sentence',
  background: ['sky'],
  boxThreshold: 0.4,
  backgroundPower: 1,
  ignoreBelow: 0,
  refine: true,
  crf: false,
}
const manifest = (change: Partial<RunSettings> = {}): Manifest => ({
  format: 1,
  version: '0.1.0',
  model: '/models/x.pt',
  source: { kind: 'folder', folder: '/photos' },
  settings: { ...settings, ...change },
})

function refused(work: () => unknown, message: RegExp): void {
  assert.throws(work, (error: { code: string; message: string }) => {
    assert.is(error.code, 'ERR_INVALID_ARG')
    assert.match(error.message, message)
    return true
  })
}

const claimed = (): number | undefined => (readManifest(out) as Manifest<RunSettings> | undefined)?.settings.boxThreshold

test('the same settings can continue in a folder, and others are refused without --overwrite', () => {
  const discarded: unknown[] = []
  const claim = (change: Partial<RunSettings>, overwrite: boolean) =>
    claimFolder(out, manifest(change), overwrite, () => discarded.push(claimed()))
  claim({}, false)
  claim({}, false)
  claim({}, true)
  assert.equal(discarded, [], 'the same results again are not other ones')
  refused(
    () => claim({ boxThreshold: 0.7, background: ['sky', 'sea'] }, false),
    /holds results of other settings: background was \["sky"\] and is \["sky","sea"\]; boxThreshold was 0\.4 and is 0\.7\. .*--overwrite/,
  )
  assert.is(claimed(), 0.4)
  claim({ boxThreshold: 0.7 }, true)
  assert.is(claimed(), 0.7)
  assert.equal(discarded, [0.4], 'discarded while the manifest still tells of them')
})

test('results of one scale are not continued with several', () => {
  const claim = (change: Partial<RunSettings>) => claimFolder(out, manifest(change), false, () => {})
  claim({})
  refused(
    () => claim(mapSettings({ scales: [0.5, 1], flip: true, minScore: 0.2 })),
    /other settings: scales was nothing and is \[0\.5,1\]; flip was nothing and is true; minScore was nothing and is 0\.2\. /,
  )
  claim(mapSettings({ scales: [1], flip: false, minScore: 0 }))
})

test('a damaged manifest is refused with its name', () => {
  writeFileSync(join(out, 'manifest.json'), '{"format":1,')
  refused(() => readManifest(out), /manifest\.json: .*delete this file/)
  writeFileSync(join(out, 'manifest.json'), '{"format":2}')
  refused(() => readManifest(out), /format is 2; this version reads format 1/)
  for (const text of ['{"format":1}', '{"format":1,"settings":{"classes":3}}']) {
    writeFileSync(join(out, 'manifest.json'), text)
    refused(() => readManifest(out), /manifest\.json: its settings have no list of classes; .*delete this file/)
  }
})

test('two settings differ in words: what was and what is', () => {
  assert.equal(differences({ a: 1, b: [2] }, { a: 1, b: [2] }), [])
  assert.equal(differences({ a: 1, b: 'x', c: true }, { a: 2, b: 'x', d: [3] }), [
    ...['a was 1 and is 2', 'd was nothing and is [3]', 'c was true and is nothing'],
  ])
  const long = (end: string) => ({ text: `${'x'.repeat(58)}${end}` })
  assert.equal(differences(long('a'), long('b')), ['text differ'], 'texts that are cut before the difference')
  const [whole, cut] = ['x'.repeat(58), 'x'.repeat(59)]
  assert.equal(differences({ text: whole }, { text: cut }), [`text was "${whole}" and is "${cut.slice(3)}...`])
})

test('equal settings have equal hashes', () => {
  assert.match(settingsHash(settings), /^[0-9a-f]{16}$/)
  assert.is(settingsHash(settings), settingsHash({ ...settings }))
  assert.is.not(settingsHash(settings), settingsHash({ ...settings, refine: false }))
})

const entry = (id: string, more: Partial<JournalEntry> = {}): JournalEntry => ({
  ...{ id, photo: `/photos/${id}.jpg`, labels: [0], bytes: 1, modified: 2, settings: 's' },
  ...more,
})

test('a journal with a truncated line can be read and continued', () => {
  const journal = new Journal(out, '1-of-1')
  journal.add(entry('a'))
  journal.close()
  const file = join(out, 'journal/1-of-1.jsonl')
  const whole = JSON.stringify(entry('b'))
  for (let length = 0; length < whole.length; length++) {
    writeFileSync(file, `${JSON.stringify(entry('a'))}\n${whole.slice(0, length)}`)
    const next = new Journal(out, '1-of-1')
    next.add(entry('c'))
    next.close()
    assert.equal([...readJournal(out).keys()], ['a', 'c'], `cut at ${length}`)
  }
})

test('the journals of all shards are read, and a failure does not undo a success', () => {
  const [first, second] = [new Journal(out, '1-of-2'), new Journal(out, '2-of-2')]
  first.add(entry('a'))
  second.add(entry('b', { failed: 'it is empty' }))
  second.add(entry('a', { failed: 'the disk was full' }))
  const entries = readJournal(out)
  assert.is(entries.get('a')?.failed, undefined)
  assert.is(entries.get('b')?.failed, 'it is empty')
  second.add(entry('b'))
  assert.is(readJournal(out).get('b')?.failed, undefined)
  first.close()
  second.close()
})

test('a failure with other settings replaces the success before it', () => {
  const journal = new Journal(out, '1-of-1')
  journal.add(entry('a'))
  journal.add(entry('a', { settings: 't', failed: 'it is empty' }))
  assert.is(readJournal(out).get('a')?.failed, 'it is empty')
  journal.add(entry('a', { settings: 't' }))
  journal.add(entry('a', { settings: 't', failed: 'again' }))
  assert.is(readJournal(out).get('a')?.failed, undefined)
  journal.close()
})

test('an entry after a truncated one has its own line', () => {
  const journal = new Journal(out, '1-of-1')
  journal.add(entry('a'))
  const file = join(out, 'journal/1-of-1.jsonl')
  const before = readFileSync(file)
  rmSync(file)
  mkdirSync(file) // as a full disk: nothing can be appended
  assert.throws(() => journal.add(entry('b')))
  rmSync(file, { recursive: true })
  writeFileSync(file, Buffer.concat([before, Buffer.from('{"id":"b","ph')]))
  journal.add(entry('c'))
  journal.add(entry('d'))
  assert.equal([...readJournal(out).keys()], ['a', 'c', 'd'])
  journal.close()
})

test('a lock of another machine is taken over, because its process cannot be checked', () => {
  mkdirSync(join(out, 'journal'))
  const began = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)?.split(' ')[19]
  const lock = join(out, 'journal/1-of-1.lock')
  writeFileSync(lock, `another-machine ${process.pid} ${began}\n`)
  const journal = new Journal(out, '1-of-1')
  assert.match(readFileSync(lock, 'utf8'), new RegExp(`^${hostname()} ${process.pid} ${began}\n$`))
  journal.close()
  assert.not(existsSync(lock))
})

test('two processes cannot do one shard at the same time, and the lock of a dead process is ignored', () => {
  const journal = new Journal(out, '1-of-1')
  refused(() => new Journal(out, '1-of-1'), /process \d+ is working on this part/)
  new Journal(out, '1-of-2').close()
  journal.close()
  new Journal(out, '1-of-1').close()
  const { pid } = spawnSync(process.execPath, ['-e', ''])
  writeFileSync(join(out, 'journal/1-of-1.lock'), `${hostname()} ${pid} 12345\n`)
  new Journal(out, '1-of-1').close()
  writeFileSync(join(out, 'journal/1-of-1.lock'), `${hostname()} ${process.pid} 1\n`) // the number is taken again by another process
  new Journal(out, '1-of-1').close()
})

test('a photo is done if the photo, its labels and the settings did not change', () => {
  const photo = join(out, 'x.jpg')
  writeFileSync(photo, 'abc')
  const item = { id: 'x', photo, labels: [0, 2] }
  const done = entry('x', { ...photoState(photo), photo, labels: [0, 2] })
  assert.is(isDone(done, item, 's'), true)
  assert.is(isDone(undefined, item, 's'), false)
  assert.is(isDone(done, item, 't'), false, 'other settings')
  assert.is(isDone({ ...done, failed: 'why' }, item, 's'), false)
  assert.is(isDone(done, { ...item, labels: [0] }, 's'), false, 'other labels')
  appendFileSync(photo, 'd')
  assert.is(isDone(done, item, 's'), false, 'another size')
  writeFileSync(photo, 'xyz')
  utimesSync(photo, 1e9, 1e9)
  assert.is(isDone(done, item, 's'), false, 'another time')
})

test('either all results of a photo are written, or none', () => {
  const store = new ResultStore(out, '1-of-1')
  store.save('a/x', new Map([['mask', Buffer.from('m')]] as const))
  assert.is(readFileSync(resultFile(out, 'mask', 'a/x'), 'utf8'), 'm')
  assert.ok(store.has('a/x', ['mask']))
  assert.not(store.has('a/x', ['mask', 'cams']))
  mkdirSync(join(out, 'confidence')) // a folder stands where the second file's folder would have to be made
  writeFileSync(join(out, 'confidence/b'), '')
  assert.throws(() =>
    store.save(
      'b/y',
      new Map([
        ['mask', Buffer.from('m')],
        ['confidence', Buffer.from('c')],
      ] as const),
    ),
  )
  assert.not(existsSync(resultFile(out, 'mask', 'b/y')))
  assert.not(existsSync(join(out, '.partial-1-of-1/mask')))
  store.remove('a/x')
  assert.not(store.has('a/x', ['mask']))
  store.close()
  assert.not(existsSync(join(out, '.partial-1-of-1')))
})

test('all results of a removed photo are removed', () => {
  const store = new ResultStore(out, '1-of-1')
  const kinds = ['mask', 'confidence', 'cams'] as const
  store.save('a/x', new Map(kinds.map((kind) => [kind, Buffer.from(kind)])))
  store.save('a/y', new Map(kinds.map((kind) => [kind, Buffer.from(kind)])))
  store.remove('a/x')
  for (const kind of kinds) assert.not(existsSync(resultFile(out, kind, 'a/x')), kind)
  assert.ok(store.has('a/y', kinds))
  store.remove('a/x')
})

test('unfinished files of a killed process are removed', () => {
  mkdirSync(join(out, '.partial-1-of-1'))
  writeFileSync(join(out, '.partial-1-of-1/mask'), 'half')
  new ResultStore(out, '1-of-1')
  assert.not(existsSync(join(out, '.partial-1-of-1/mask')))
})

test('a name that leads out of the folder is refused', () => {
  for (const id of ['../x', 'a/../../x', '/etc/x'])
    refused(() => resultFile(out, 'mask', id), /points outside the results folder/)
})

test.run()
