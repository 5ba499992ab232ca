// Photos in folders, their labels, and names and lists that all data sets share.
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { photosById } from '../../cli/src/photos/by_id.js'
import { readCocoDataset } from '../../cli/src/sources/coco.js'
import { shardOf } from '../../cli/src/sources/dataset.js'
import { readFolder } from '../../cli/src/sources/folder.js'
import { readIdList } from '../../cli/src/sources/id_list.js'
import { listFolder } from '../../cli/src/sources/unlabelled.js'
import { readVoc } from '../../cli/src/sources/voc.js'
import { encodeMask } from '../../ts/photos/mask_png.js'
import { annotation, coco, index, object, refused, root, write } from './data_sets.js'

for (const path of ['x.jpg', 'a/x.JPG', 'a/y.png', 'b/y.png', 'b/y.jpg', '.hidden/z.jpg', 'a/notes.txt']) write(`own/${path}`)
const own = join(root, 'own')

test('the labels file names photos by their paths, with or without extension', () => {
  const labels = write('own.csv', 'x.jpg,cat\na/x,dog\nb/y.jpg,person;cat\n')
  const { items, failures, notes } = readFolder(own, labels, index)
  assert.equal(
    items.map(({ id, labels: found }) => [id, found]),
    [
      ['a/x', [1]],
      ['b/y', [0, 2]],
      ['x', [0]],
    ],
  )
  assert.equal(failures, [])
  assert.equal(notes, ['2 photos without labels left out'])
})

test('photos that are missing, ambiguous or listed twice are failures with a reason', () => {
  const { items, failures } = readFolder(
    own,
    write('bad.csv', 'a/xx.jpg,cat\nb/y,cat\nb/y.jpg,cat\nb/y.png,dog\nx,cat\nx.jpg,cat\n'),
    index,
  )
  assert.equal(
    items.map(({ id }) => id),
    ['b/y', 'x'],
  )
  const [missing, ambiguous, taken, twice] = failures as [{ id: string; message: string }, ...typeof failures]
  assert.is(missing.id, 'a/xx.jpg')
  assert.match(missing.message, /no such photo in the folder; did you mean a\/x\.JPG\?/)
  assert.match(ambiguous?.message ?? '', /the folder has b\/y\.jpg and b\/y\.png/)
  assert.match(taken?.message ?? '', /same names as those of b\/y\.jpg/)
  assert.match(twice?.message ?? '', /x\.jpg is in .* under two names/)
  refused(
    () => readFolder(join(root, 'none'), join(root, 'own.csv'), index),
    /--folder: there is no folder .*none; name the folder of the photos/,
  )
})

test('a file of labels names each photo once, and a similar name is proposed in folders of up to 1000 photos', () => {
  const folder = join(root, 'many')
  for (let i = 0; i < 1000; i++) write(`many/photo${i}.jpg`)
  const message = (line: string) => readFolder(folder, write('many.csv', line), index).failures[0]?.message
  assert.is(message('phto5.jpg,cat'), 'there is no such photo in the folder; did you mean photo5.jpg?')
  assert.is(message('quite.another,cat'), 'there is no such photo in the folder')
  write('many/photo1000.jpg')
  assert.is(message('phto5.jpg,cat'), 'there is no such photo in the folder')
  const { items, failures, notes } = readFolder(folder, write('many.csv', 'photo7,cat\nphoto10.jpg,dog\n.\\photo5.jpg\n'), index)
  assert.equal(
    items,
    ['photo10', 'photo7'].map((id, i) => ({ id, photo: join(folder, `${id}.jpg`), labels: [1 - i] })),
  )
  assert.equal([failures, notes], [[], ['999 photos without labels left out']])
  const twice = readFolder(folder, write('many.csv', 'photo7,cat\nphoto7.jpg,cat'), index).failures
  assert.equal(twice, [{ id: 'photo7.jpg', message: `photo7.jpg is in ${root}/many.csv under two names; keep one` }])
  assert.throws(
    () => listFolder(join(root, 'maps/none')),
    `--folder: there is no folder ${root}/maps/none; name the folder of the photos`,
  )
  write('empty/notes.txt')
  assert.throws(() => listFolder(join(root, 'empty')), `--folder: there is no photo in ${root}/empty`)
})

test('photos whose results would have the same names are a failure that names the other, also without labels', () => {
  for (const name of ['z.jpg', 'z.png']) write(`same/deep/${name}`)
  const { items, failures } = listFolder(join(root, 'same'))
  assert.equal([...items], [{ id: 'deep/z', photo: join(root, 'same/deep/z.jpg') }])
  const message = 'its results would have the same names as those of deep/z.jpg; rename one of the photos'
  assert.equal(failures, [{ id: 'deep/z.png', message }])
})

test('a folder follows links, leaves out results of earlier runs, and names files that cannot be read', async () => {
  for (const path of ['mine/x.jpg', 'linked/y.jpg', 'mine/run/masks/x.png', 'mine/z.heic', 'mine/out/masks/w.png']) write(path)
  write('mine/run/journal/1-of-1.jsonl')
  symlinkSync('../linked', join(root, 'mine/more'))
  const mask = await encodeMask(new Uint8Array(1), { width: 1, height: 1 })
  write('mine/x_mask.png', mask)
  const { items, notes } = listFolder(join(root, 'mine'), join(root, 'mine/out'))
  assert.equal(
    [...items].map(({ id }) => id),
    ['more/y', 'x'],
  )
  assert.is(notes.length, 2)
  assert.match(notes[0] ?? '', /clip-es wrote them and they are not photos: .*x_mask\.png$/)
  assert.match(notes[1] ?? '', /\.heic files are not read; convert them to JPEG or PNG first: .*z\.heic$/)
  assert.equal(
    readFolder(join(root, 'mine'), write('mine.csv', 'x.jpg,cat'), index, join(root, 'mine/out')).notes.slice(0, 2),
    notes,
  )
})

test('crf finds the photo of a map, and an error names both if two fit', () => {
  for (const name of ['x.jpg', 'x.png', 'v1.2.JPG']) write(`maps/${name}`)
  const dir = join(root, 'maps')
  const photoOf = photosById(dir)
  assert.is(photoOf('v1.2'), join(dir, 'v1.2.JPG'))
  assert.is(photoOf('x.png'), join(dir, 'x.png'))
  refused(() => photoOf('x'), /x\.jpg and x\.png in .*maps have the name x; keep one of them/)
  refused(() => photoOf('none'), /there is no photo named none in .*maps; name the photos' folder with --photos/)
})

const [composed, decomposed] = ['\u00e9', 'e\u0301']

test('composed and decomposed Unicode names are equal in every kind of data set', async () => {
  write(`forms/JPEGImages/${decomposed}.jpg`)
  write(`forms/Annotations/${composed}.xml`, annotation(object('cat')))
  write('forms/ImageSets/Segmentation/all.txt', composed)
  write('forms/ImageSets/Segmentation/more.txt', `/x/${decomposed}.jpg /y/${decomposed}.png\n${decomposed} 1`)
  write(`forms/JPEGImages/${composed} 1.jpg`)
  write(`forms/Annotations/${composed} 1.xml`, annotation(object('dog')))
  const dir = join(root, 'forms')
  const photo = join(dir, `JPEGImages/${decomposed}.jpg`)
  assert.equal(readVoc(dir, 'all', index).items, [{ id: composed, photo, labels: [0] }])
  assert.equal(
    readVoc(dir, 'more', index).items.map((item) => item.photo),
    [photo, join(dir, `JPEGImages/${composed} 1.jpg`)],
  )
  const labels = write('forms.csv', `${composed}.jpg,cat`)
  assert.is(readVoc(dir, 'all', index, labels).items.length, 1)
  assert.is(readFolder(join(dir, 'JPEGImages'), labels, index).items[0]?.photo, photo)
  const annotations = write(
    'forms.json',
    coco({ images: [{ id: 7, file_name: `${composed}.jpg` }], annotations: [{ image_id: 7, category_id: 17 }] }),
  )
  assert.is(readCocoDataset(join(dir, 'JPEGImages'), annotations, index).items[0]?.photo, photo)
  assert.is(photosById(join(dir, 'JPEGImages'))(composed), photo)
  write(`forms/JPEGImages/${composed}.jpg`)
  const twice = listFolder(join(dir, 'JPEGImages'))
  assert.is(twice.items.length, 2)
  assert.match(twice.failures[0]?.message ?? '', /same names as those of/)
})

test('lists can be UTF-8 or UTF-16 with any line ends, and the error for other encodings names the file', () => {
  const known = (id: string) => ['é', 'b'].includes(id)
  const text = '\ufeffé\r\nb\r\n\r\n'
  const little = Buffer.from(text, 'utf16le')
  for (const bytes of [Buffer.from(text), Buffer.from(text.slice(1)), little, Buffer.from(little).swap16()])
    assert.equal(readIdList(write('list.txt', bytes), known), ['é', 'b'])
  refused(() => readIdList(write('latin1.txt', Buffer.from('é\n', 'latin1')), known), /latin1\.txt: is not UTF-8 text/)
})

test('a line of a list is the longest beginning that names something, else what it seems to name', () => {
  const list = (text: string, ...known: string[]) => readIdList(write('lines.txt', text), (id) => known.includes(id))
  assert.equal(list('a b c\na b\n a \na b c', 'a', 'a b'), ['a b', 'a'])
  assert.equal(list('./x/a.jpg 1\n//y\\b.png', 'x/a', 'b'), ['x/a', 'b'])
  assert.equal(list('x/a.jpg', 'a.jpg', 'a'), ['a.jpg'], 'the most literal meaning')
  assert.equal(list('gone.jpg -1\nmy gone.jpg\n/x/gone2.jpg /y/gone2.png\nx/gone3.jpg 0 1\ngone4 2'), [
    ...['gone', 'my gone', 'gone2', 'x/gone3', 'gone4 2'],
  ])
})

test('every item belongs to exactly one shard', () => {
  const items = Array.from({ length: 11 }, (_, i) => i)
  const parts = [1, 2, 3].map((part) => [...shardOf(items, part, 3)])
  assert.equal(
    parts.flat().sort((a, b) => a - b),
    items,
  )
  assert.equal(parts[1], [1, 4, 7, 10])
})

test.run()
