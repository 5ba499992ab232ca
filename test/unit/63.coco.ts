// COCO data sets.
import { truncateSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readCocoDataset } from '../../cli/src/sources/coco.js'
import { coco, index, refused, root, write } from './data_sets.js'

for (const name of ['007', '008', '011']) write(`coco/val2017/${name}.jpg`)

test('labels come from all objects and crowds; annotations without an image and missing photos are failures', () => {
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

test('files that are not COCO annotations are refused', () => {
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

test('byte-order marks and backslashes in paths, which tools on Windows write, are read', () => {
  const images = [{ id: 7, file_name: 'val2017\\007.jpg' }]
  const text = coco({ images, annotations: [{ image_id: 7, category_id: 17 }] })
  const expected = [{ id: 'val2017/007', photo: join(root, 'coco/val2017/007.jpg'), labels: [0] }]
  for (const bytes of [Buffer.from(`\ufeff${text}`), Buffer.from(`\ufeff${text}`, 'utf16le')])
    assert.equal(readCocoDataset(join(root, 'coco'), write('windows.json', bytes), index).items, expected)
})

test('if no photo is found, the error has the first file_name of the annotations', () => {
  const images = [{ id: 7, file_name: 'https://example.org/007.jpg' }]
  const message = /none of the photos .*; its first file_name is 'https:\/\/example\.org\/007\.jpg'$/
  refused(() => readCocoDataset(join(root, 'coco'), write('web.json', coco({ images })), index), message)
  refused(() => readCocoDataset(join(root, 'coco'), write('none.json', coco({ images: [] })), index), /; it lists no images$/)
})

test('the second of two images whose results would have the same name is a failure', () => {
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

test.run()
