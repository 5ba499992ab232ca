// What keeps a data set of a million photos out of memory: the list of photos, the index of the journal, and sets of numbers.
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { lineAt, linesOf } from '../../cli/src/files/lines.js'
import { hashOf, PlaceTable } from '../../cli/src/files/place_table.js'
import { type JournalEntry, readJournal } from '../../cli/src/results/journal.js'
import { JournalIndex } from '../../cli/src/results/journal_index.js'
import { Bits } from '../../cli/src/shared/bits.js'
import type { DatasetItem } from '../../cli/src/sources/dataset.js'
import { PhotoList } from '../../cli/src/sources/photo_list.js'

let out: string
test.before.each(() => {
  out = mkdtempSync(join(tmpdir(), 'clip-es-'))
})
test.after.each(() => rmSync(out, { recursive: true }))

test('lines of any length, with and without an end', () => {
  const lines = ['', 'a', 'é'.repeat(40_000), '', 'x'.repeat(300_000), 'last']
  for (const end of ['', '\n']) {
    writeFileSync(join(out, 'lines'), lines.join('\n') + end)
    const file = openSync(join(out, 'lines'), 'r')
    const found: { text: string; at: number }[] = []
    for (const { bytes, at } of linesOf(file)) found.push({ text: bytes.toString(), at })
    assert.is(found.length, lines.length)
    for (const [i, { text }] of found.entries()) assert.ok(text === lines[i], `line ${i} has ${text.length} characters`)
    for (const { text, at } of found) assert.is(lineAt(file, at).toString(), text)
    assert.equal([...linesOf(file, found[3]?.at)].length, 3)
    closeSync(file)
  }
})

test('a list of photos gives them back in their order, as often as asked', () => {
  const photos = Array.from({ length: 5000 }, (_, i): DatasetItem => {
    const item = { id: `é\n${i}`, photo: `/photos/${'x'.repeat(i % 90)}/${i}.jpg` }
    return i % 3 ? { ...item, labels: [i % 20, 20] } : item
  })
  const list = new PhotoList(photos)
  assert.equal([...list], photos)
  list.add({ id: 'one more', photo: 'p' })
  assert.is(list.length, 5001)
  const numbers = new Bits(list.length)
  for (const number of [5000, 7, 4096]) numbers.add(number)
  assert.equal([...list.only(numbers)], [photos[7], photos[4096], { id: 'one more', photo: 'p' }])
  list.close()
})

test('a set of numbers', () => {
  const bits = new Bits(20)
  for (const number of [3, 19, 0, 3]) bits.add(number)
  assert.equal([[...bits], bits.size], [[0, 3, 19], 3])
  assert.equal([bits.delete(3), bits.delete(3), bits.has(3), bits.size], [true, false, false, 2])
  assert.equal([...Bits.all(9)], [0, 1, 2, 3, 4, 5, 6, 7, 8])
})

test('the table finds every entry, also those with equal hashes', () => {
  const table = new PlaceTable(4)
  const ids = Array.from({ length: 1000 }, (_, i) => `id${i}`)
  const weak = (id: string) => hashOf(id) % 50
  const slotOf = (id: string) => table.find(weak(id), (place) => ids[place] === id)
  for (const [place, id] of ids.entries()) table.set(slotOf(id), weak(id), place, place % 7)
  for (const [place, id] of ids.entries()) assert.equal(table.at(slotOf(id)), { place, note: place % 7 })
  assert.is(table.at(slotOf('other')), undefined)
  assert.is(table.places.length, ids.length)
})

test('the index of a journal has what the journal has', async () => {
  mkdirSync(join(out, 'journal'))
  const line = (id: string, more: Partial<JournalEntry> = {}) =>
    `${JSON.stringify({ id, photo: `/${id}`, labels: [0], bytes: 1, modified: 2, settings: 's', ...more })}\n`
  const parts = Array.from({ length: 120 }, (_, part) =>
    Array.from({ length: 50 }, (_, i) => {
      const n = (part * 37 + i * 11) % 900
      const more = { failed: n % 5 === 0 ? 'no' : undefined, settings: n % 7 === part % 7 ? 't' : 's', bytes: part }
      return line(`photo ${n}`, more)
    }).join(''),
  )
  for (const [i, part] of parts.entries()) writeFileSync(join(out, `journal/${i}-of-120.jsonl`), `${part}{"id":"torn`)
  writeFileSync(join(out, 'journal/1-of-1.lock'), 'none')
  const expected = readJournal(out)
  const index = await JournalIndex.read(out)
  assert.ok(expected.size > 500)
  for (const [id, entry] of expected) assert.equal(index.get(id), entry)
  assert.is(index.get('torn'), undefined)
  assert.equal(
    [...index].sort((a, b) => (a.id < b.id ? -1 : 1)),
    [...expected.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
  )
  index.close()
  assert.equal([...(await JournalIndex.read(join(out, 'none')))], [])
})

test.run()
