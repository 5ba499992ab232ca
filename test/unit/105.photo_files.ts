// Files among photos: how they are found and read.
import { closeSync, openSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { lineAt, linesOf } from '../../cli/src/files/lines.js'
import { readText } from '../../cli/src/files/read_text.js'
import { isRunFolder, recordName } from '../../cli/src/files/run_folder.js'
import { kindOf, walk } from '../../cli/src/files/walk.js'
import { photosById } from '../../cli/src/photos/by_id.js'
import { PhotoIndex } from '../../cli/src/photos/photo_index.js'
import { readPhotoOf } from '../../cli/src/photos/read.js'
import { leftOutNotes } from '../../cli/src/photos/sort_out.js'
import { messageOf, refusal, testFolder } from './support.js'

const { at, write, reset } = testFolder()
test.before.each(reset)

test('texts are read in UTF-8 and UTF-16, without their mark', () => {
  const utf16 = Buffer.from('\ufeffé', 'utf16le')
  for (const bytes of [Buffer.from('é'), Buffer.from('\ufeffé'), utf16, Buffer.from(utf16).swap16()]) {
    write('text', bytes)
    assert.is(readText(at('text')), 'é')
  }
  for (const [bytes, encoding] of [
    [[0xe9], 'UTF-8'],
    [[0xff, 0xfd], 'UTF-8'],
    [[0xff, 0xfe, 0], 'UTF-16LE'],
    [[0xfe, 0xff, 0xd8, 0], 'UTF-16BE'],
  ] as const) {
    write('text', Uint8Array.from(bytes))
    assert.is(
      refusal(() => readText(at('text'))),
      `is not ${encoding} text; save it as UTF-8`,
    )
  }
})

test('a folder with a journal of results is known by its parts', () => {
  assert.is(recordName, 'segment.jsonl')
  for (const [name, is] of [
    ['crf.jsonl', true],
    ['queue-w.jsonl', true],
    ['12-of-34.jsonl', true],
    ['queue-.jsonl', false],
    ['x-of-1.jsonl', false],
    ['a1-of-1.jsonl', false],
    ['1-of-1.jsonl2', false],
    ['1-of-1.lock', false],
  ] as const) {
    write(`${name}/journal/${name}`)
    assert.is(isRunFolder(at(name)), is, name)
  }
  assert.not(isRunFolder(at('none')))
})

test('a walk is in the order of the paths, and names what cannot be looked at', () => {
  for (const path of ['w/a/z', 'w/a.b', 'w/a0', 'w/.hidden', 'w/.h/x']) write(path)
  symlinkSync('loop', at('w/loop'))
  const { files, unreadable } = walk(at('w'))
  assert.equal(files, [at('w/a.b'), at('w/a/z'), at('w/a0')])
  assert.equal(
    unreadable.map(({ path }) => path),
    [at('w/loop')],
  )
  assert.match(unreadable[0]?.reason ?? '', /^ELOOP/)
  assert.equal([kindOf(at('none')), kindOf(at('w/a0/x'))], [undefined, undefined])
  assert.ok(kindOf(at('w'))?.isDirectory())
  assert.throws(() => kindOf(at('w/loop')), /ELOOP/)
  assert.throws(() => walk(at('none')), /ENOENT/)
})

test('a photo is found by its name with or without extension', async () => {
  const index = new PhotoIndex(['a/x.jpg', 'a/x.png', 'a/y.jpg', 'a/v1.2'])
  assert.equal(
    ['a/x', 'a/x.png', 'a/y', 'a/v1.2', 'a/v1', 'x'].map((name) => index.matches(name)),
    [...[['a/x.jpg', 'a/x.png'], ['a/x.png'], ['a/y.jpg'], ['a/v1.2'], [], []]],
  )
  assert.equal([index.hasStem('a/y'), index.hasStem('a/y.jpg')], [true, false])
  const none = at('none')
  assert.is(
    refusal(() => photosById(none)('a/b')),
    `there is no photo named b in ${join(none, 'a')}; name the photos' folder with --photos`,
  )
  for (const name of ['x.jpg', 'x.png']) write(`two/${name}`)
  assert.is(
    refusal(() => photosById(at('two'))('x')),
    `x.jpg and x.png in ${at('two')} have the name x; keep one of them`,
  )
  write('two/empty.jpg')
  assert.is(await messageOf(readPhotoOf(at('two/empty.jpg'))), 'it is empty')
  assert.is(await messageOf(readPhotoOf(7 as never)), 'readPhoto(): source is 7; expected a path or a file URL')
})

test('what was left out is told by kind, with three names and the number of all', () => {
  assert.equal(leftOutNotes({ own: [], unread: [] }), [])
  assert.equal(leftOutNotes({ own: ['a.png', 'b.png', 'c.png', 'a.png'], unread: ['1.HEIC', '2.gif', '3.gif', '4.gif'] }), [
    'left out, because clip-es wrote them and they are not photos: a.png, b.png, c.png',
    'left out, because .gif, .heic files are not read; convert them to JPEG or PNG first: 1.HEIC, 2.gif, 3.gif, … (4 in all)',
  ])
})

test('lines are found where they begin, whatever their length', () => {
  const lengths = [0, 1, 1023, 1024, 1025, 2048, 65_535, 65_536, 65_537, 131_072, 3]
  const lines = lengths.map((length, i) => String.fromCharCode(97 + i).repeat(length))
  for (const end of ['', '\n']) {
    write('lines', lines.join('\n') + end)
    const file = openSync(at('lines'), 'r')
    const found = [...linesOf(file)].length
    assert.is(found, lines.length)
    let place = 0
    for (const { bytes, at: begin } of linesOf(file)) {
      assert.is(begin, place)
      assert.ok(bytes.equals(lineAt(file, begin)))
      place += bytes.length + 1
    }
    closeSync(file)
  }
})

test.run()
