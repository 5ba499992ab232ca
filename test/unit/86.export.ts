import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cocoFile, imageNumbers, type NumberedPhoto } from '../../cli/src/export/coco.js'
import { labelStudioConfig, labelStudioTasks } from '../../cli/src/export/label_studio.js'
import { labelmeFile } from '../../cli/src/export/labelme.js'
import type { ExportPhoto } from '../../cli/src/export/photo.js'
import { encodeGrey, encodeRgb } from '../../cli/src/export/png.js'
import { yoloDataYaml, yoloLabels } from '../../cli/src/export/yolo.js'
import { decodeBrush } from '../../ts/formats/brush_rle.js'
import { type LabelMap, readMask } from '../../ts/photos/mask_png.js'
import { vocColour } from '../../ts/photos/palette.js'
import { type CompressedCocoRle, decodeRle, encodeRings, encodeRle } from '../../ts/photos/rle.js'
import { mapOf, randomMap } from './masks.js'

const classes = [{ name: 'cat', colour: '#ff8800' }, { name: 'a "big" dog' }, { name: 'tree & leaf' }]

function photoOf({ data, width, height }: LabelMap, id = 'a/x', scores: [number, number][] = []): ExportPhoto {
  return { id, fileName: `${id}.jpg`, mask: data, width, height, scores: new Map(scores) }
}

async function* each<T>(photos: readonly T[]): AsyncGenerator<T> {
  yield* photos
}

async function joined(parts: AsyncIterable<string>): Promise<string> {
  let text = ''
  for await (const part of parts) text += part
  return text
}

const ring = mapOf('.....', '.222.', '.2.2.', '.222.', '..*.1')
const noisy = [0, 1, 2].map((seed) => randomMap(15 + seed, 12, [0.3, 0.3, 0.2, 0.2], seed))

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

interface Labelme {
  imagePath: string
  imageData: null
  imageHeight: number
  imageWidth: number
  shapes: {
    label: string
    points: [number, number][]
    shape_type: string
    group_id: number | null
    mask: string | null
    score?: number
  }[]
}

const labelme = async (photo: ExportPhoto, shape: 'polygons' | 'masks', regions: boolean): Promise<Labelme> =>
  JSON.parse(await labelmeFile(photo, classes, '../photos/a/x.jpg', { shape, regions })) as Labelme

test('labelme: polygons, with the regions of a class as one object or one each', async () => {
  const photo = photoOf(mapOf('1.1', '...', '222'), 'x', [[1, 0.5]])
  const { shapes, ...rest } = await labelme(photo, 'polygons', false)
  assert.equal([rest.imagePath, rest.imageData, rest.imageWidth, rest.imageHeight], ['../photos/a/x.jpg', null, 3, 3])
  assert.equal(
    shapes.map(({ label, group_id, score, shape_type, mask }) => [label, group_id, score, shape_type, mask]),
    [
      ['cat', 1, 0.5, 'polygon', null],
      ['cat', 1, 0.5, 'polygon', null],
      ['a "big" dog', 2, undefined, 'polygon', null],
    ],
  )
  assert.equal(shapes[2]?.points, [
    [3, 2],
    [3, 3],
    [0, 3],
    [0, 2],
  ])
  const apart = await labelme(photo, 'polygons', true)
  assert.equal(
    apart.shapes.map(({ group_id }) => group_id),
    [null, null, null],
  )
})

test('labelme: masks have the pixels of their regions', async () => {
  for (const map of [ring, ...noisy]) {
    const painted = new Uint8Array(map.data.length)
    const { shapes } = await labelme(photoOf(map), 'masks', true)
    for (const { label, points, shape_type, mask } of shapes) {
      assert.is(shape_type, 'mask')
      const [[left, top], [right, bottom]] = points as [[number, number], [number, number]]
      const { data, width, height } = await readMask(Buffer.from(mask as string, 'base64'))
      assert.equal([width, height], [right - left + 1, bottom - top + 1])
      const value = classes.findIndex(({ name }) => name === label) + 1
      for (const [i, inside] of data.entries()) {
        const at = (top + Math.floor(i / width)) * map.width + left + (i % width)
        if (inside) painted[at] = value
      }
    }
    assert.equal(
      painted,
      map.data.map((value) => (value === 255 ? 0 : value)),
    )
  }
})

interface Task {
  data: { image: string }
  predictions: {
    model_version: string
    score?: number
    result: {
      id: string
      type: string
      from_name: string
      to_name: string
      original_width: number
      original_height: number
      score?: number
      value: { rle?: number[]; brushlabels?: string[]; points?: [number, number][]; polygonlabels?: string[] }
    }[]
  }[]
}

async function tasks(photos: readonly ExportPhoto[], tool: 'brush' | 'polygon', regions: boolean): Promise<Task[]> {
  const options = { tool, regions, urlPrefix: '/data/?d=', modelVersion: 'test' }
  return JSON.parse(await joined(labelStudioTasks(each(photos), classes, options))) as Task[]
}

test('Label Studio: brush masks of classes and of regions have their pixels', async () => {
  for (const regions of [false, true])
    for (const map of [ring, ...noisy]) {
      const [task] = (await tasks([photoOf(map)], 'brush', regions)) as [Task]
      const painted = new Uint8Array(map.data.length)
      for (const { value, original_width, original_height } of task.predictions[0]?.result ?? []) {
        assert.equal([original_width, original_height], [map.width, map.height])
        const label = classes.findIndex(({ name }) => name === value.brushlabels?.[0]) + 1
        for (const [i, inside] of decodeBrush(value.rle as number[], painted.length).entries()) if (inside) painted[i] = label
      }
      assert.equal(
        painted,
        map.data.map((value) => (value === 255 ? 0 : value)),
      )
    }
})

test('Label Studio: polygons are in percent, and have the pixels of their classes', async () => {
  for (const map of noisy) {
    const { width, height } = map
    const [task] = (await tasks([photoOf(map)], 'polygon', false)) as [Task]
    const result = task.predictions[0]?.result ?? []
    for (const [i, { name }] of classes.entries()) {
      const polygons = result.filter(({ value }) => value.polygonlabels?.[0] === name).map(({ value }) => value.points ?? [])
      const rings = polygons.map((points) =>
        points.flatMap(([x, y]) => [Math.round((x * width) / 100), Math.round((y * height) / 100)]),
      )
      assert.equal(encodeRings(rings, width, height), encodeRle(map, i + 1))
    }
  }
})

test('Label Studio: a task has an address, scores, and the names of the labelling interface', async () => {
  const photo = photoOf(ring, 'ä b/50%', [
    [1, 0.25],
    [2, 0.75],
    [3, 0.1],
  ])
  const [task] = (await tasks([photo], 'brush', false)) as [Task]
  assert.is(task.data.image, '/data/?d=%C3%A4%20b/50%25.jpg')
  const [prediction] = task.predictions
  assert.equal([prediction?.model_version, prediction?.score], ['test', 0.5]) // of the labels that have pixels
  assert.equal(
    prediction?.result.map(({ id, type, from_name, to_name, score }) => [id, type, from_name, to_name, score]),
    [
      ['1', 'brushlabels', 'brush', 'image', 0.25],
      ['2', 'brushlabels', 'brush', 'image', 0.75],
    ],
  )
  const config = labelStudioConfig(classes, 'brush')
  assert.match(config, /<Image name="image" value="\$image"/)
  assert.match(config, /<BrushLabels name="brush" toName="image">/)
  assert.match(config, /<Label value="cat" background="#ff8800"\/>/)
  assert.match(config, /<Label value="a &#34;big&#34; dog" background="#008000"\/>/)
  assert.match(labelStudioConfig(classes, 'polygon'), /<PolygonLabels name="polygon" toName="image">/)
  assert.equal(await tasks([], 'brush', false), [])
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

test('a mask with a value that has no class, or of another size, is refused by every writer', async () => {
  const unknown = photoOf(mapOf('14'), 'bad')
  const writers = [
    () => joined(cocoFile(each(numbered([unknown])), classes, { shape: 'rle', regions: false })),
    async () => yoloLabels(unknown, classes),
    () => labelmeFile(unknown, classes, 'x.jpg', { shape: 'polygons', regions: false }),
    () => tasks([unknown], 'brush', false),
    () => encodeGrey(unknown, classes),
    () => encodeRgb(unknown, classes),
  ]
  for (const write of writers) {
    const error = await write().then(
      () => undefined,
      (reason: Error) => reason,
    )
    assert.match(error?.message ?? '', /^bad: the mask has the value 4, and there are 3 classes; name the class file/)
  }
  assert.throws(() => yoloLabels({ ...photoOf(ring), width: 4 }, classes), /the mask has 25 values; 4 x 5 needs 20/)
})

test.run()
