import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readCocoDataset } from '../../ts/dataset/coco.js'
import { shardOf } from '../../ts/dataset/dataset.js'
import { readFolder } from '../../ts/dataset/folder.js'
import { LabelIndex } from '../../ts/dataset/label_index.js'
import { readVoc, vocObjects } from '../../ts/dataset/voc.js'

const root = mkdtempSync(join(tmpdir(), 'clip-es-'))
test.after(() => rmSync(root, { recursive: true }))
const index = new LabelIndex(['cat', 'dog', 'person'])

function write(path: string, text = ''): string {
  const file = join(root, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
  return file
}

function refused(work: () => unknown, message: RegExp): void {
  assert.throws(work, (error: { code: string; message: string }) => {
    assert.is(error.code, 'ERR_INVALID_ARG')
    assert.match(error.message, message)
    return true
  })
}

async function rejected(work: Promise<unknown>, message: RegExp): Promise<void> {
  await work.then(
    () => assert.unreachable(),
    (error: Error) => assert.match(error.message, message),
  )
}

const object = (name: string, more = '') => `<object>\n<name>${name}</name><difficult>1</difficult>${more}</object>`
const annotation = (...objects: string[]) =>
  `<?xml version="1.0"?>\n<annotation><source><name>flickr</name></source><owner><name>dog</name></owner>${objects.join('')}</annotation>\n`
const head = '<part><name>head</name></part>'

test("a VOC annotation's labels are its objects' names, not those of parts and owners", async () => {
  assert.equal(await vocObjects(annotation(object('person', head), object('cat'), object('cat'))), ['person', 'cat', 'cat'])
  assert.equal(await vocObjects(annotation()), [])
})

test('a damaged VOC annotation is refused', async () => {
  await rejected(vocObjects(annotation(object('cat')).slice(0, -20)), /damaged/)
  await rejected(vocObjects(''), /damaged/)
  await rejected(vocObjects('<svg></svg>'), /no VOC annotation/)
  await rejected(vocObjects(annotation('<object></object>')), /has no name/)
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
  const { items, failures, notes } = await readVoc(voc, 'train', index)
  assert.equal(items, [{ id: '1', photo: join(voc, 'JPEGImages/1.jpg'), labels: [0, 1] }])
  assert.equal(
    failures.map(({ id }) => id),
    ['2', '3', '4', '6'],
  )
  const [two, three, four, six] = failures.map(({ message }) => message) as [string, string, string, string]
  assert.match(two, /^the label 'unicorn' is no class/)
  assert.match(three, /3\.xml: it is no VOC annotation, or a damaged one/)
  assert.match(four, /^there is no annotation .*4\.xml$/)
  assert.match(six, /^there is no photo .*6\.jpg$/)
  assert.equal(notes, ['1 photo without labels left out'])
})

test('VOC: lists with paths, and the devkit folder above', async () => {
  assert.is((await readVoc(voc, 'aug', index)).items[0]?.id, '1')
  write('devkit/VOC2012/JPEGImages/1.jpg')
  write('devkit/VOC2012/ImageSets/Segmentation/val.txt', '1')
  const { items } = await readVoc(join(root, 'devkit'), 'val', index, write('voc.txt', '1.jpg cat'))
  assert.is(items[0]?.photo, join(root, 'devkit/VOC2012/JPEGImages/1.jpg'))
})

test('VOC: a labels file stands for the XML files', async () => {
  const { items, failures } = await readVoc(voc, 'train', index, write('labels.csv', '1,person\n2,dog\n3,cat\n4,cat\n5,cat\n'))
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
  await rejected(readVoc(root, 'train', index), /--voc: .* has no JPEGImages/)
  await rejected(readVoc(voc, 'trian', index), /--split: there is no trian\.txt .*; did you mean 'train'\? known: /)
  write('bare/JPEGImages/1.jpg')
  write('bare/ImageSets/Segmentation/train.txt', '1')
  await rejected(readVoc(join(root, 'bare'), 'train', index), /has no Annotations.*--labels/)
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
  assert.match(failures[2]?.message ?? '', /leads out of the folder/)
  assert.match(failures[3]?.message ?? '', /'category 99' is no class/)
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
  refused(() => readFolder(join(root, 'none'), join(root, 'own.csv'), index), /--folder: .* cannot be read/)
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
