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
  assert.is(failures[0]?.message, `1 annotation of it, but it is not among the images of ${root}/coco/instances_val2017.json`)
  assert.match(failures[1]?.message ?? '', /^there is no photo/)
  assert.is(failures[2]?.message, 'its file_name points outside the folder')
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
    failures,
    ['007.png', '007.jpg'].map((id) => ({
      id,
      message: 'another image of the annotations has the same name without the extension',
    })),
  )
})

test('each entry must have its numbers and texts, and the message names the first one without', () => {
  const whole = {
    images: [{ id: 7, file_name: '007.jpg' }],
    annotations: [{ image_id: 7, category_id: 17 }],
    categories: [{ id: 17, name: 'cat' }],
  }
  const message = (content: object | null) => {
    try {
      readCocoDataset(join(root, 'coco/val2017'), write('fields.json', JSON.stringify(content)), index)
      return 'none'
    } catch (error) {
      return (error as Error).message.replace(join(root, 'fields.json'), 'FILE')
    }
  }
  assert.is(message(whole), 'none')
  assert.is(message(null), "FILE has no list 'images'; COCO's instances_….json is expected")
  for (const [key, fields] of Object.entries({
    images: { id: 'number', file_name: 'string' },
    annotations: { image_id: 'number', category_id: 'number' },
    categories: { id: 'number', name: 'string' },
  })) {
    assert.is(message({ ...whole, [key]: {} }), `FILE has no list '${key}'; COCO's instances_….json is expected`)
    const [first] = whole[key as keyof typeof whole]
    for (const [name, type] of Object.entries(fields)) {
      const bad = { ...whole, [key]: [first, { ...first, [name]: type === 'string' ? 3 : '3' }] }
      assert.is(message(bad), `FILE: ${key}[1] has no ${type} '${name}'; COCO's instances_….json is expected`)
    }
  }
})

test("the photos are in the folder, or where COCO's own archives put them", () => {
  const text = coco({ images: [{ id: 7, file_name: 'x.jpg' }], annotations: [{ image_id: 7, category_id: 17 }] })
  const read = (name: string) => readCocoDataset(join(root, 'places'), write(name, text), index).items[0]?.photo
  write('places/images/train2014/x.jpg')
  assert.is(read('instances_train2014.json'), join(root, 'places/images/train2014/x.jpg'))
  write('places/train2014/x.jpg')
  assert.is(read('instances_train2014.json'), join(root, 'places/train2014/x.jpg'))
  assert.throws(
    () => read('own.json'),
    `--coco: none of the photos of ${root}/own.json is in ${root}/places, ${root}/places/images; its first file_name is 'x.jpg'`,
  )
  write('places/images/x.jpg')
  assert.is(read('own.json'), join(root, 'places/images/x.jpg'))
  write('places/x.jpg')
  assert.is(read('instances_train2014.json'), join(root, 'places/x.jpg'))
})

test.run()
