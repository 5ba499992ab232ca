// COCO, YOLO and pictures of `clip-es export`.
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cocoFile, imageNumbers, type NumberedPhoto } from '../../cli/src/export/coco.js'
import type { ExportPhoto } from '../../cli/src/export/photo.js'
import { encodeGrey, encodeRgb } from '../../cli/src/export/png.js'
import { yoloDataYaml, yoloLabels } from '../../cli/src/export/yolo.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { vocColour } from '../../ts/photos/palette.js'
import { type CompressedCocoRle, decodeRle, encodeRings, encodeRle } from '../../ts/photos/rle.js'
import { classes, each, joined, noisy, photoOf, ring } from './export_support.js'
import { mapOf } from './masks.js'

interface Coco {
  categories: { id: number; name: string }[]
  images: { id: number; file_name: string; width: number; height: number }[]
  annotations: {
    id: number
    image_id: number
    category_id: number
    segmentation: number[][] | CompressedCocoRle
    area: number
    bbox: number[]
    iscrowd: number
    score?: number
  }[]
}

async function coco(photos: readonly NumberedPhoto[], shape: 'rle' | 'polygons', regions: boolean): Promise<Coco> {
  return JSON.parse(await joined(cocoFile(each(photos), classes, { shape, regions }))) as Coco
}

const numbered = (photos: readonly ExportPhoto[]): NumberedPhoto[] => photos.map((photo, i) => ({ ...photo, imageId: 10 + i }))

test('COCO: classes, images, and an annotation for each class of a photo', async () => {
  const file = await coco(numbered([photoOf(ring, 'a/x', [[2, 0.123456789]])]), 'rle', false)
  assert.equal(
    file.categories.map(({ id, name }) => [id, name]),
    [
      [1, 'cat'],
      [2, 'a "big" dog'],
      [3, 'tree & leaf'],
    ],
  )
  assert.equal(file.images, [{ id: 10, file_name: 'a/x.jpg', width: 5, height: 5 }])
  const [first, second, ...others] = file.annotations
  assert.equal(first, {
    id: 1,
    image_id: 10,
    category_id: 1,
    segmentation: { size: [5, 5], counts: 'h01' },
    area: 1,
    bbox: [4, 4, 1, 1],
    iscrowd: 0,
  })
  assert.equal([second?.id, second?.area, second?.bbox, second?.score], [2, 8, [1, 1, 3, 3], 0.123457])
  assert.is(others.length, 0)
})

test('COCO: polygons and codes of classes and of regions hold the same pixels', async () => {
  const photos = numbered(noisy.map((map, i) => photoOf(map, `n${i}`)))
  for (const shape of ['rle', 'polygons'] as const)
    for (const regions of [false, true]) {
      const file = await coco(photos, shape, regions)
      assert.equal(
        file.annotations.map(({ id }) => id),
        file.annotations.map((_, i) => i + 1),
      )
      for (const { imageId, mask, width, height } of photos) {
        const mine = file.annotations.filter(({ image_id }) => image_id === imageId)
        assert.ok(regions ? mine.length > 20 : mine.length === 3)
        const painted = new Uint8Array(mask.length)
        for (const { segmentation, category_id, area, bbox } of mine) {
          const rle = Array.isArray(segmentation) ? encodeRings(segmentation, width, height) : segmentation
          const places = [...decodeRle(rle).data.entries()].filter(([, inside]) => inside).map(([at]) => at)
          for (const at of places) {
            assert.is(painted[at], 0)
            painted[at] = category_id
          }
          const [xs, ys] = [places.map((at) => at % width), places.map((at) => Math.floor(at / width))]
          const [left, top] = [Math.min(...xs), Math.min(...ys)]
          assert.is(area, places.length)
          assert.equal(bbox, [left, top, Math.max(...xs) - left + 1, Math.max(...ys) - top + 1])
        }
        assert.equal(painted, mask)
      }
    }
})

test('COCO: photos of background only are images without annotations', async () => {
  const file = await coco(numbered([photoOf(mapOf('...', '.*.'))]), 'polygons', true)
  assert.is(file.images.length, 1)
  assert.equal(file.annotations, [])
})

test('COCO: a photo is written before the next one is read', async () => {
  let read = 0
  async function* photos() {
    for (const photo of numbered(noisy.map((map) => photoOf(map)))) {
      read++
      yield photo
    }
  }
  const parts = cocoFile(photos(), classes, { shape: 'rle', regions: false })
  await parts.next() // the head
  for (const expected of [1, 1, 1, 2, 2, 2, 3]) {
    assert.match((await parts.next()).value as string, /"segmentation"/)
    assert.is(read, expected)
  }
})

test('COCO: photos keep their COCO numbers, and others are numbered from 1', () => {
  assert.equal(imageNumbers(['val/000000000139', 'COCO_val2014_000000000042']), [139, 42])
  assert.equal(imageNumbers(['000000000139', 'other']), [1, 2])
  assert.equal(imageNumbers(['a/000000000139', 'b/000000000139']), [1, 2])
  assert.equal(imageNumbers(['2007_000032']), [1])
})

test('YOLO: a line for each region with its holes, in shares of the size', () => {
  assert.equal(yoloLabels(photoOf(ring), classes).split('\n'), [
    '0 1 0.8 1 1 0.8 1 0.8 0.8',
    // The outer ring, the bridge down from 0.4 0.2, the hole, and the bridge back.
    '1 0.8 0.2 0.8 0.8 0.2 0.8 0.2 0.2 0.4 0.2 0.4 0.4 0.4 0.6 0.6 0.6 0.6 0.4 0.4 0.4 0.4 0.2',
    '',
  ])
  assert.is(yoloLabels(photoOf(mapOf('.*')), classes), '')
})

test('YOLO: the lines hold the pixels of their classes', () => {
  for (const map of noisy) {
    const { width, height } = map
    const rings = new Map<number, number[][]>()
    for (const line of yoloLabels(photoOf(map), classes).trimEnd().split('\n')) {
      const [label, ...numbers] = line.split(' ').map(Number) as [number, ...number[]]
      assert.ok(numbers.every((number) => number >= 0 && number <= 1))
      const corners = numbers.map((number, i) => Math.round(number * (i % 2 ? height : width)))
      rings.set(label + 1, [...(rings.get(label + 1) ?? []), corners])
    }
    for (const value of [1, 2, 3]) assert.equal(encodeRings(rings.get(value) as number[][], width, height), encodeRle(map, value))
  }
})

test('YOLO: data.yaml has the names, in quotes', () => {
  const [comment, ...lines] = yoloDataYaml([...classes, { name: 'tab\t, DEL \u007f, \u2028, 😀' }]).split('\n')
  assert.match(comment as string, /^# Put the photos/)
  assert.equal(lines, [
    'train: images',
    'val: images',
    'names:',
    '  0: "cat"',
    '  1: "a \\"big\\" dog"',
    '  2: "tree & leaf"',
    '  3: "tab\\t, DEL \\u007f, \\u2028, 😀"',
    '',
  ])
})

test('grey pictures have the numbers of the classes, RGB pictures their colours', async () => {
  for (const map of [ring, ...noisy]) {
    const { data, width, height } = map
    assert.equal(await readMask(await encodeGrey(photoOf(map), classes)), map)
    const { data: pixels, info } = await sharp(await encodeRgb(photoOf(map), classes))
      .raw()
      .toBuffer({ resolveWithObject: true })
    assert.equal([info.width, info.height, info.channels], [width, height, 3])
    for (const [i, value] of data.entries())
      assert.equal([...pixels.subarray(3 * i, 3 * i + 3)], value === 1 ? [0xff, 0x88, 0] : [...vocColour(value)])
  }
})

test.run()
