// VOC data sets and their annotations in XML.
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { listVoc } from '../../cli/src/sources/unlabelled.js'
import { readVoc } from '../../cli/src/sources/voc.js'
import { vocObjects } from '../../cli/src/sources/voc_xml.js'
import { annotation, index, object, refused, root, write } from './data_sets.js'

const head = '<part><name>head</name></part>'

const namesOf = (xml: string | Buffer) => vocObjects(Buffer.from(xml as string)).names

test('the labels of a VOC annotation are the names of its objects, not of parts and owners', async () => {
  assert.equal(namesOf(annotation(object('person', head), object('cat'), object('cat'))), ['person', 'cat', 'cat'])
  assert.equal(namesOf(annotation()), [])
})

test('all well-formed XML is read: trailing comments and instructions, entities, CDATA, encodings', async () => {
  const cat = '<annotation><object><name>cat</name></object></annotation>'
  assert.equal(namesOf(`${cat}<!-- made by x -->\n`), ['cat'])
  assert.equal(namesOf(`${cat}<?foo bar?>\n\n`), ['cat'])
  assert.equal(namesOf(`<!DOCTYPE annotation>\n${cat}`), ['cat'])
  assert.equal(namesOf(cat.replace('cat', '<![CDATA[black & ]]>wh&#105;te &lt;cat&gt;')), ['black & white <cat>'])
  const utf16 = Buffer.from(`\ufeff<?xml version="1.0" encoding="UTF-16"?>${cat}`, 'utf16le')
  assert.equal(namesOf(utf16), ['cat'])
  assert.equal(namesOf(Buffer.from(utf16).swap16()), ['cat'])
  assert.equal(namesOf(`\ufeff${cat}`), ['cat'])
  const bare = Buffer.from(cat, 'utf16le') // without a byte-order mark
  assert.equal([namesOf(bare), namesOf(Buffer.from(bare).swap16())], [['cat'], ['cat']])
  const declared = `\ufeff<?xml version='1.0' encoding = 'utf-8'?>${cat.replace('cat', 'café')}`
  assert.equal(namesOf(declared), ['café'])
  const late = `<?xml version="1.0" encoding="${' '.repeat(200)}ISO-8859-1"?>`
  refused(() => namesOf(late + cat), /well-formed XML/)
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

test('entities that an annotation defines are refused, so that none reads a file or expands without limit', () => {
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

test('photos that cannot be used are failures with a reason, and the others are items', async () => {
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

test('a list can hold paths, and the folder can be the devkit above the year', async () => {
  assert.is(readVoc(voc, 'aug', index).items[0]?.id, '1')
  write('above/VOCdevkit/VOC2012/JPEGImages/1.jpg')
  write('above/VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt', '1')
  write('above/VOCdevkit/VOC2012/ImageSets/Main/val.txt', '2')
  assert.is(listVoc(join(root, 'above'), 'val').items[0]?.photo, join(root, 'above/VOCdevkit/VOC2012/JPEGImages/1.jpg'))
  write('devkit/VOC2012/JPEGImages/1.jpg')
  write('devkit/VOC2012/ImageSets/Segmentation/val.txt', '1')
  const { items } = readVoc(join(root, 'devkit'), 'val', index, write('voc.txt', '1.jpg cat'))
  assert.is(items[0]?.photo, join(root, 'devkit/VOC2012/JPEGImages/1.jpg'))
})

test('a labels file replaces the XML files', async () => {
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

test('a missing folder, split or Annotations folder is an error', async () => {
  const says = (work: () => unknown, message: string) => assert.throws(work, (error: Error) => error.message === message)
  says(() => readVoc(root, 'train', index), `--voc: ${root} has no JPEGImages; give the folder that VOC2012 was unpacked to`)
  write('voc/ImageSets/Main/cat_train.txt', '1')
  write('voc/ImageSets/Main/notes.md')
  write('voc/ImageSets/list.txt')
  const start = `--split: there is no NAME.txt in ${voc}/ImageSets; `
  says(() => readVoc(voc, 'trian', index), `${start.replace('NAME', 'trian')}did you mean 'train'? known: train, aug`)
  says(() => readVoc(voc, 'xyz', index), `${start.replace('NAME', 'xyz')}known: train, aug`)
  write('sets/JPEGImages/1.jpg')
  says(
    () => readVoc(join(root, 'sets'), 'train', index),
    `--voc: ${root}/sets has no folder ImageSets, which contains the splits; name the folder that VOC2012 was unpacked to`,
  )
  write('bare/JPEGImages/1.jpg')
  write('bare/ImageSets/Segmentation/train.txt', '1')
  says(
    () => readVoc(join(root, 'bare'), 'train', index),
    `--voc: ${root}/bare has no folder Annotations, whose XML files say what is in each photo; name a labels file with --labels`,
  )
  const line = readVoc(join(root, 'bare'), 'train', index, write('other.csv', '2,cat\n')).failures
  assert.equal(line, [{ id: '1', message: `it has no line in ${root}/other.csv` }])
})

test('IDs can have dots and blanks, photos any extension, and lists several columns', async () => {
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

test('an object without a name is left out, and the photo keeps its other labels', async () => {
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

test.run()
