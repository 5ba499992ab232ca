import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { photosById } from '../../cli/src/photos/by_id.js'
import { readCocoDataset } from '../../cli/src/sources/coco.js'
import { shardOf } from '../../cli/src/sources/dataset.js'
import { readFolder } from '../../cli/src/sources/folder.js'
import { readIdList } from '../../cli/src/sources/id_list.js'
import { LabelIndex } from '../../cli/src/sources/label_index.js'
import { listFolder, listVoc } from '../../cli/src/sources/unlabelled.js'
import { readVoc } from '../../cli/src/sources/voc.js'
import { vocObjects } from '../../cli/src/sources/voc_xml.js'
import { encodeMask } from '../../ts/photos/mask_png.js'

const root = mkdtempSync(join(tmpdir(), 'clip-es-'))
test.after(() => rmSync(root, { recursive: true }))
const index = new LabelIndex(['cat', 'dog', 'person'])

function write(path: string, text = ''): string {
  const file = join(root, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
  return file
}

const writeBytes = (path: string, bytes: Buffer): string => {
  const file = write(path)
  writeFileSync(file, bytes)
  return file
}

function refused(work: () => unknown, message: RegExp): void {
  assert.throws(work, (error: { code: string; message: string }) => {
    assert.is(error.code, 'ERR_INVALID_ARG')
    assert.match(error.message, message)
    return true
  })
}

const object = (name: string, more = '') => `<object>\n<name>${name}</name><difficult>1</difficult>${more}</object>`
const annotation = (...objects: string[]) =>
  `<?xml version="1.0"?>\n<annotation><source><name>flickr</name></source><owner><name>dog</name></owner>${objects.join('')}</annotation>\n`
const head = '<part><name>head</name></part>'

const namesOf = (xml: string | Buffer) => vocObjects(Buffer.from(xml as string)).names

test("a VOC annotation's labels are its objects' names, not those of parts and owners", async () => {
  assert.equal(namesOf(annotation(object('person', head), object('cat'), object('cat'))), ['person', 'cat', 'cat'])
  assert.equal(namesOf(annotation()), [])
})

test('well-formed XML is read: comments and instructions at its end, entities, sections, encodings', async () => {
  const cat = '<annotation><object><name>cat</name></object></annotation>'
  assert.equal(namesOf(`${cat}<!-- made by x -->\n`), ['cat'])
  assert.equal(namesOf(`${cat}<?foo bar?>\n\n`), ['cat'])
  assert.equal(namesOf(`<!DOCTYPE annotation>\n${cat}`), ['cat'])
  assert.equal(namesOf(cat.replace('cat', '<![CDATA[black & ]]>wh&#105;te &lt;cat&gt;')), ['black & white <cat>'])
  const utf16 = Buffer.from(`\ufeff<?xml version="1.0" encoding="UTF-16"?>${cat}`, 'utf16le')
  assert.equal(namesOf(utf16), ['cat'])
  assert.equal(namesOf(Buffer.from(utf16).swap16()), ['cat'])
  assert.equal(namesOf(`\ufeff${cat}`), ['cat'])
  const latin1 = `<?xml version="1.0" encoding="ISO-8859-1"?>${cat.replace('cat', 'café')}`
  assert.equal(namesOf(Buffer.from(latin1, 'latin1')), ['café'])
  refused(() => namesOf(Buffer.from(cat.replace('cat', 'café'), 'latin1')), /its text is not UTF-8/)
})

test('a damaged VOC annotation is refused', async () => {
  refused(() => namesOf(annotation(object('cat')).slice(0, -20)), /not well-formed XML/)
  refused(() => namesOf(''), /not well-formed XML/)
  refused(() => namesOf(annotation(object('<b>'))), /not well-formed XML/)
  refused(() => namesOf(`${annotation(object('cat'))}and more`), /not well-formed XML/)
  refused(() => namesOf('<svg></svg>'), /not a VOC annotation/)
  refused(
    () => namesOf('<annotation>\n<object>\n<name>cat</nam>\n</object></annotation>'),
    /not well-formed XML \(.* \(line 3, column \d+\)\)$/,
  )
})

test('an annotation defines no entities: those of other files are refused, and nothing grows', () => {
  const cat = '<annotation><object><name>&word;</name></object></annotation>'
  const secret = write('secret.txt', 'cat')
  const unknown = /not well-formed XML \(Named entity isn't defined: &word;/
  refused(() => namesOf(`<!DOCTYPE annotation [<!ENTITY word "cat">]>${cat}`), unknown)
  refused(() => namesOf(`<!DOCTYPE annotation [<!ENTITY word SYSTEM "file://${secret}">]>${cat}`), unknown)
  const levels = Array.from({ length: 9 }, (_, i) => `<!ENTITY laugh${i + 1} "${`&laugh${i};`.repeat(10)}">`)
  const laughs = `<!DOCTYPE annotation [<!ENTITY laugh0 "laugh">${levels.join('')}]>${cat.replace('word', 'laugh9')}`
  refused(() => namesOf(laughs), /not well-formed XML \(Named entity isn't defined: &laugh9;/)
  assert.equal(namesOf(`<!DOCTYPE annotation SYSTEM "file://${secret}">${cat.replace('&word;', 'cat')}`), ['cat'])
  refused(() => namesOf(`${'<annotation>'.repeat(1e5)}${'</annotation>'.repeat(1e5)}`), /not well-formed XML/)
})

for (const id of ['1', '2', '3', '4', '5']) write(`voc/JPEGImages/${id}.jpg`)
write('voc/Annotations/1.xml', annotation(object('dog'), object('cat')))
write('voc/Annotations/2.xml', annotation(object('unicorn')))
write('voc/Annotations/3.xml', '<annotation>')
write('voc/Annotations/5.xml', annotation())
write('voc/Annotations/6.xml', annotation(object('cat')))
write('voc/ImageSets/Segmentation/train.txt', '1\n2\n3\n4\n5\n6\n')
write('voc/ImageSets/Segmentation/aug.txt', '/JPEGImages/1.jpg /SegmentationClassAug/1.png\n')
write('voc/ImageSets/Main/train.txt', '9 1\n')
const voc = join(root, 'voc')

test('VOC: what cannot be done is listed with its reason, and the rest is there', async () => {
  const { items, failures, notes } = readVoc(voc, 'train', index)
  assert.equal(items, [{ id: '1', photo: join(voc, 'JPEGImages/1.jpg'), labels: [0, 1] }])
  assert.equal(
    failures.map(({ id }) => id),
    ['6', '2', '3', '4'],
  )
  const [six, two, three, four] = failures.map(({ message }) => message) as [string, string, string, string]
  assert.match(two, /^the class file has no class named 'unicorn'/)
  assert.match(three, /3\.xml: it is not well-formed XML/)
  assert.match(four, /^there is no annotation .*4\.xml$/)
  assert.match(six, /^there is no photo .*6\.jpg$/)
  assert.equal(notes, ['1 photo without labels left out'])
})

test('VOC: lists with paths, and the devkit folder above', async () => {
  assert.is(readVoc(voc, 'aug', index).items[0]?.id, '1')
  write('devkit/VOC2012/JPEGImages/1.jpg')
  write('devkit/VOC2012/ImageSets/Segmentation/val.txt', '1')
  const { items } = readVoc(join(root, 'devkit'), 'val', index, write('voc.txt', '1.jpg cat'))
  assert.is(items[0]?.photo, join(root, 'devkit/VOC2012/JPEGImages/1.jpg'))
})

test('VOC: a labels file stands for the XML files', async () => {
  const { items, failures } = readVoc(voc, 'train', index, write('labels.csv', '1,person\n2,dog\n3,cat\n4,cat\n5,cat\n'))
  assert.equal(
    items.map(({ id, labels = [] }) => [id, ...labels]),
    [
      ['1', 2],
      ['2', 1],
      ['3', 0],
      ['4', 0],
      ['5', 0],
    ],
  )
  assert.equal(
    failures.map(({ id }) => id),
    ['6'],
  )
})

test('VOC: a folder, split or XML that is not there is said at once', async () => {
  refused(() => readVoc(root, 'train', index), /--voc: .* has no JPEGImages/)
  refused(() => readVoc(voc, 'trian', index), /--split: there is no trian\.txt .*; did you mean 'train'\? known: /)
  write('bare/JPEGImages/1.jpg')
  write('bare/ImageSets/Segmentation/train.txt', '1')
  refused(() => readVoc(join(root, 'bare'), 'train', index), /has no folder Annotations.*--labels/)
})

test('VOC: IDs with dots and blanks, photos of any extension, and lists of several columns', async () => {
  const ids = ['x_jpg.rf.01ab', 'v1.2', 'my photo 3', 'photo 1', 'plain', 'upper', 'png', 'last']
  const files = [
    'x_jpg.rf.01ab.jpg',
    'v1.2.jpg',
    'my photo 3.jpg',
    'photo 1.jpg',
    'plain.jpeg',
    'upper.JPG',
    'png.png',
    'last.jpg',
  ]
  for (const file of files) write(`ids/JPEGImages/${file}`)
  for (const id of ids) write(`ids/Annotations/${id}.xml`, annotation(object('cat')))
  write('ids/ImageSets/Segmentation/whole.txt', `\ufeff${ids.join('\r\n')}\r\n`)
  write('ids/ImageSets/Segmentation/files.txt', files.join('\n'))
  write('ids/ImageSets/Main/cat_all.txt', ids.map((id, i) => `${id}  ${(i % 3) - 1}`).join('\n'))
  write('ids/ImageSets/Segmentation/paths.txt', files.map((file) => `/JPEGImages/${file} /Class/x.png`).join('\n'))
  for (const split of ['whole', 'files', 'cat_all', 'paths']) {
    const { items, failures } = readVoc(join(root, 'ids'), split, index)
    assert.equal(failures, [], split)
    assert.equal(
      items.map(({ id, photo }) => [id, photo.slice(root.length + '/ids/JPEGImages/'.length)]),
      ids.map((id, i) => [id, files[i]]),
      split,
    )
  }
  write('ids/ImageSets/Segmentation/gone.txt', 'my other 4\nv1.3\ngone -1\n/JPEGImages/off.jpg /Class/off.png')
  assert.equal(
    readVoc(join(root, 'ids'), 'gone', index).failures.map(({ id }) => id),
    ['my other 4', 'v1.3', 'gone', 'off'],
  )
  write('ids/JPEGImages/v1.2.png')
  assert.match(readVoc(join(root, 'ids'), 'whole', index).failures[0]?.message ?? '', /fits v1\.2\.jpg and v1\.2\.png/)
  assert.is(listVoc(join(root, 'ids'), 'whole').items.length, ids.length - 1)
})

test('VOC: an object without a name does not cost the photo its other labels', async () => {
  for (const id of ['some', 'none']) write(`names/JPEGImages/${id}.jpg`)
  write('names/Annotations/some.xml', annotation(object('cat'), '<object></object>', object(' '), object('dog')))
  write('names/Annotations/none.xml', annotation('<object></object>'))
  write('names/ImageSets/Segmentation/all.txt', 'some\nnone')
  const { items, failures, notes } = readVoc(join(root, 'names'), 'all', index)
  assert.equal(
    items.map(({ id, labels }) => [id, labels]),
    [['some', [0, 1]]],
  )
  assert.equal(notes, ['some: objects without a name left out: 2 of 4'])
  assert.match(failures[0]?.message ?? '', /none\.xml: none of its objects has a name/)
})

const [composed, decomposed] = ['\u00e9', 'e\u0301']

test('names in either Unicode form are the same names, in every kind of data set', async () => {
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

test('a folder: links are followed, results of earlier runs are left out, and what cannot be read is named', async () => {
  for (const path of ['mine/x.jpg', 'linked/y.jpg', 'mine/run/masks/x.png', 'mine/z.heic', 'mine/out/masks/w.png']) write(path)
  write('mine/run/journal/1-of-1.jsonl')
  symlinkSync('../linked', join(root, 'mine/more'))
  const mask = await encodeMask(new Uint8Array(1), { width: 1, height: 1 })
  writeFileSync(join(root, 'mine/x_mask.png'), mask)
  const { items, notes } = listFolder(join(root, 'mine'), join(root, 'mine/out'))
  assert.equal(
    items.map(({ id }) => id),
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

test('crf finds the photo of a map, and of two says which', () => {
  for (const name of ['x.jpg', 'x.png', 'v1.2.JPG']) write(`maps/${name}`)
  const dir = join(root, 'maps')
  const photoOf = photosById(dir)
  assert.is(photoOf('v1.2'), join(dir, 'v1.2.JPG'))
  assert.is(photoOf('x.png'), join(dir, 'x.png'))
  refused(() => photoOf('x'), /x\.jpg and x\.png in .*maps have the name x; keep one of them/)
  refused(() => photoOf('none'), /there is no photo named none in .*maps; name the photos' folder with --photos/)
})

const coco = (change: object = {}) =>
  JSON.stringify({
    images: [
      { id: 7, file_name: '007.jpg' },
      { id: 8, file_name: '008.jpg' },
      { id: 9, file_name: '009.jpg' },
      { id: 10, file_name: '../out.jpg' },
      { id: 11, file_name: '011.jpg' },
    ],
    annotations: [
      { image_id: 7, category_id: 18 },
      { image_id: 7, category_id: 17, iscrowd: 1 },
      { image_id: 7, category_id: 18 },
      { image_id: 9, category_id: 17 },
      { image_id: 11, category_id: 99 },
      { image_id: 5, category_id: 17 },
    ],
    categories: [
      { id: 17, name: 'cat' },
      { id: 18, name: 'dog' },
    ],
    ...change,
  })

for (const name of ['007', '008', '011']) write(`coco/val2017/${name}.jpg`)

test('COCO: labels from the objects, crowds among them; strays and missing photos are listed', () => {
  const { items, failures, notes } = readCocoDataset(join(root, 'coco'), write('coco/instances_val2017.json', coco()), index)
  assert.equal(items, [{ id: '007', photo: join(root, 'coco/val2017/007.jpg'), labels: [0, 1] }])
  assert.equal(
    failures.map(({ id }) => id),
    ['image 5', '009', '../out', '011'],
  )
  assert.match(failures[0]?.message ?? '', /^1 annotation of it, but it is not among the images/)
  assert.match(failures[1]?.message ?? '', /^there is no photo/)
  assert.match(failures[2]?.message ?? '', /points outside the folder/)
  assert.match(failures[3]?.message ?? '', /no class named 'category 99'/)
  assert.equal(notes, ['1 photo without objects left out'])
})

test('COCO: a file that is none is refused', () => {
  refused(() => readCocoDataset(root, write('x.json', '{'), index), /x\.json cannot be read/)
  refused(() => readCocoDataset(root, write('y.json', '[]'), index), /has no list 'images'/)
  refused(() => readCocoDataset(root, write('z.json', coco()), index), /none of the photos/)
  const captions = coco({
    annotations: [
      { image_id: 7, category_id: 18 },
      { image_id: 7, caption: 'a dog' },
    ],
  })
  refused(() => readCocoDataset(root, write('captions.json', captions), index), /annotations\[1\] has no number 'category_id'/)
  refused(() => readCocoDataset(root, write('null.json', coco({ images: [null] })), index), /images\[0\] has no number 'id'/)
  const large = write('large.json', '{')
  truncateSync(large, 2 ** 30) // takes no place on the disk
  refused(
    () => readCocoDataset(root, large, index),
    /large\.json cannot be read \(it has 1073741824 bytes; up to \d+ can be read/,
  )
})

test('COCO: a byte-order mark and backslashes, as tools on Windows write them, are read', () => {
  const images = [{ id: 7, file_name: 'val2017\\007.jpg' }]
  const text = coco({ images, annotations: [{ image_id: 7, category_id: 17 }] })
  const expected = [{ id: 'val2017/007', photo: join(root, 'coco/val2017/007.jpg'), labels: [0] }]
  for (const bytes of [Buffer.from(`\ufeff${text}`), Buffer.from(`\ufeff${text}`, 'utf16le')])
    assert.equal(readCocoDataset(join(root, 'coco'), writeBytes('windows.json', bytes), index).items, expected)
})

test('COCO: where no photo is found, the message shows what the file calls them', () => {
  const images = [{ id: 7, file_name: 'https://example.org/007.jpg' }]
  const message = /none of the photos .*; its first file_name is 'https:\/\/example\.org\/007\.jpg'$/
  refused(() => readCocoDataset(join(root, 'coco'), write('web.json', coco({ images })), index), message)
  refused(() => readCocoDataset(join(root, 'coco'), write('none.json', coco({ images: [] })), index), /; it lists no images$/)
})

test('lists are read in UTF-8 and UTF-16, with line ends of Windows; other encodings are refused by name', () => {
  const known = (id: string) => ['é', 'b'].includes(id)
  const text = '\ufeffé\r\nb\r\n\r\n'
  const little = Buffer.from(text, 'utf16le')
  for (const bytes of [Buffer.from(text), Buffer.from(text.slice(1)), little, Buffer.from(little).swap16()])
    assert.equal(readIdList(writeBytes('list.txt', bytes), known), ['é', 'b'])
  refused(() => readIdList(writeBytes('latin1.txt', Buffer.from('é\n', 'latin1')), known), /latin1\.txt: is not UTF-8 text/)
})

test('COCO: of two images whose results would have the same name, the second is listed', () => {
  const images = ['007.jpg', '007.png', '007.jpg'].map((file_name, id) => ({ id, file_name }))
  const annotations = images.map(({ id }) => ({ image_id: id, category_id: 17 }))
  const { items, failures } = readCocoDataset(
    join(root, 'coco/val2017'),
    write('twice.json', coco({ images, annotations })),
    index,
  )
  assert.is(items.length, 1)
  assert.equal(
    failures.map(({ id }) => id),
    ['007.png', '007.jpg'],
  )
})

for (const path of ['x.jpg', 'a/x.JPG', 'a/y.png', 'b/y.png', 'b/y.jpg', '.hidden/z.jpg', 'a/notes.txt']) write(`own/${path}`)
const own = join(root, 'own')

test('a folder: photos by their paths, with or without extension', () => {
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

test('a folder: what is missing, ambiguous or there twice is listed', () => {
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

test('shards take each item exactly once', () => {
  const items = Array.from({ length: 11 }, (_, i) => i)
  const parts = [1, 2, 3].map((part) => shardOf(items, part, 3))
  assert.equal(
    parts.flat().sort((a, b) => a - b),
    items,
  )
  assert.equal(parts[1], [1, 4, 7, 10])
})

test.run()
