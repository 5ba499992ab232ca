// labelme and Label Studio of `clip-es export`, and what every writer refuses.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cocoFile } from '../../cli/src/export/coco.js'
import { labelStudioConfig, labelStudioTasks } from '../../cli/src/export/label_studio.js'
import { labelmeFile } from '../../cli/src/export/labelme.js'
import type { ExportPhoto } from '../../cli/src/export/photo.js'
import { encodeGrey, encodeRgb } from '../../cli/src/export/png.js'
import { yoloLabels } from '../../cli/src/export/yolo.js'
import { decodeBrush } from '../../ts/formats/brush_rle.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { encodeRings, encodeRle } from '../../ts/photos/rle.js'
import { classes, each, joined, noisy, photoOf, ring } from './export_support.js'
import { mapOf } from './masks.js'

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

test('a mask with a value that has no class, or of another size, is refused by every writer', async () => {
  const unknown = photoOf(mapOf('14'), 'bad')
  const writers = [
    () => joined(cocoFile(each([{ ...unknown, imageId: 1 }]), classes, { shape: 'rle', regions: false })),
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
