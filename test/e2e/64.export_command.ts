// clip-es export: the files of every format, from what dataset and segment made, what is refused, and what pycocotools reads.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type LabelMap, readMask } from '../../ts/photos/mask_png.js'
import { type CompressedCocoRle, decodeRle } from '../../ts/photos/rle.js'
import { emojiNames } from './demo_set.js'
import { jsonLines, scenes, Workplace } from './support.js'

const python = process.env.CLIP_ES_TEST_PYTHON || 'python3'
const place = new Workplace()
const ids = ['a/x', 'a/y', 'z']
const labels = JSON.parse(readFileSync(join(scenes, 'labels.json'), 'utf8')) as Record<string, { labels: string[] }>

test.before(() => {
  mkdirSync(place.path('photos/a'), { recursive: true })
  const words: Record<string, string[]> = {}
  for (const [i, id] of ids.entries()) {
    const scene = `scene0${i + 1}`
    writeFileSync(place.path(`photos/${id}.png`), readFileSync(join(scenes, `${scene}.png`)))
    words[`${id}.png`] = (labels[scene] as { labels: string[] }).labels
  }
  writeFileSync(place.path('labels.json'), JSON.stringify(words))
  // Pixels to ignore, and masks without refinement: with holes and many regions.
  const flags = ['--ignore-below', '0.3', '--no-refine', '-o', 'results']
  assert.is(place.run(['dataset', '--folder', 'photos', '--labels', 'labels.json', ...flags]).status, 0)
  assert.is(place.run(['segment', 'photos', '--class-file', 'emoji', '-o', 'segmented']).status, 0)
})
test.after(() => place.remove())

/** The standard output of an export that succeeds. */
function exported(...args: string[]): string {
  const { status, stdout, stderr } = place.run(['export', ...args])
  assert.is(status, 0, stderr)
  return stdout
}

function refused(message: RegExp, ...args: string[]): void {
  const { status, stderr } = place.run(['export', ...args])
  assert.match(stderr, message)
  assert.is(status, 2)
}

const json = (...path: string[]) => JSON.parse(readFileSync(place.path(...path), 'utf8'))
const maskOf = async (id: string): Promise<LabelMap> => await readMask(readFileSync(place.path(`results/masks/${id}.png`)))

test('COCO is one file with all photos', async () => {
  assert.is(exported('results', '--format', 'coco', '-o', 'coco'), `3 photos exported: ${place.path('coco/instances.json')}\n`)
  assert.equal(place.files('coco'), ['instances.json'])
  const { images, annotations, categories } = json('coco/instances.json')
  assert.equal(
    images.map(({ file_name, id }: { file_name: string; id: number }) => [file_name, id]),
    [
      ['a/x.png', 1],
      ['a/y.png', 2],
      ['z.png', 3],
    ],
  )
  assert.equal(
    categories.map(({ name }: { name: string }) => name),
    emojiNames,
  )
  for (const [i, id] of ids.entries()) {
    const { data } = await maskOf(id)
    const painted = new Uint8Array(data.length)
    for (const { image_id, category_id, segmentation, score } of annotations) {
      if (image_id !== i + 1) continue
      assert.ok(score > 0 && score < 1)
      const inside = decodeRle(segmentation as CompressedCocoRle).data
      for (const [at, is] of inside.entries()) if (is) painted[at] = category_id
    }
    assert.equal(
      painted,
      data.map((value) => (value === 255 ? 0 : value)),
      id,
    )
  }
})

test('the other formats have a file for each photo under its path, or one file for all', async () => {
  exported('results', '-f', 'yolo', '--link-photos', '-o', 'yolo')
  assert.equal(place.files('yolo'), ['data.yaml', 'labels/a/x.txt', 'labels/a/y.txt', 'labels/z.txt'])
  assert.is(readlinkSync(place.path('yolo/images/a/x.png')), place.path('photos/a/x.png'))
  exported('results', '-f', 'yolo', '--link-photos', '-o', 'yolo') // once more, over the links
  exported('results', '-f', 'labelme', '-o', 'labelme')
  assert.equal(place.files('labelme'), ['a/x.json', 'a/y.json', 'z.json'])
  assert.is(json('labelme/a/x.json').imagePath, '../../photos/a/x.png')
  exported('results', '-f', 'label-studio', '-o', 'studio', '--url-prefix', 'https://example.org/')
  assert.equal(place.files('studio'), ['labeling.xml', 'tasks.json'])
  assert.equal(
    json('studio/tasks.json').map(({ data }: { data: { image: string } }) => data.image),
    ['https://example.org/a/x.png', 'https://example.org/a/y.png', 'https://example.org/z.png'],
  )
  exported('results', '-f', 'rgb', '-o', 'rgb')
  exported('results', '-f', 'grey', '-o', 'grey')
  assert.equal([place.files('rgb'), place.files('grey')], [ids.map((id) => `${id}.png`), ids.map((id) => `${id}.png`)])
  for (const id of ids) assert.equal(await readMask(readFileSync(place.path('grey', `${id}.png`))), await maskOf(id))
})

test('results of segment are exported with their classes and scores', async () => {
  exported('segmented', '-f', 'coco', '-o', 'from-segment')
  const { images, annotations, categories } = json('from-segment/instances.json')
  assert.equal(
    categories.map(({ name }: { name: string }) => name),
    emojiNames,
  )
  assert.equal(
    images.map(({ file_name }: { file_name: string }) => file_name),
    ['photos/a/x.png', 'photos/a/y.png', 'photos/z.png'],
  )
  assert.ok(annotations.length > 0)
  assert.ok(annotations.every(({ score }: { score: number }) => score > 0 && score < 1))
})

test('--json has an object for each photo, and the file at the end', () => {
  const events = jsonLines(exported('results', '-f', 'coco', '-o', 'coco', '--json')) as Record<string, unknown>[]
  assert.equal(
    events.map(({ event, id }) => [event, id]),
    [...ids.map((id) => ['done', id]), ['end', undefined]],
  )
  assert.equal([events[3]?.photos, events[3]?.written], [3, place.path('coco/instances.json')])
})

test('options of other formats, and folders that would mix results, are refused', () => {
  refused(/--polygons and --rle cannot be used together/, 'results', '-f', 'coco', '--polygons', '--rle')
  refused(/--rle cannot be used with --format yolo; leave it out/, 'results', '-f', 'yolo', '--rle')
  refused(/--regions cannot be used with --format rgb/, 'results', '-f', 'rgb', '--regions')
  refused(/--link-photos cannot be used with --format coco/, 'results', '-f', 'coco', '--link-photos')
  refused(/--url-prefix cannot be used with --format coco/, 'results', '-f', 'coco', '--url-prefix', 'x')
  refused(/required option '-f, --format <format>' not specified/, 'results')
  refused(/there is no folder nowhere; name one that clip-es dataset, crf or segment filled/, 'nowhere', '-f', 'coco')
  refused(/there are no masks of clip-es in photos/, 'photos', '-f', 'coco')
  refused(/results\/masks\/more is in the folder of the masks/, 'results', '-f', 'grey', '-o', 'results/masks/more')
  refused(/results is the folder of the results/, 'results', '-f', 'labelme', '-o', 'results')
  assert.not.ok(existsSync(place.path('clip-es-export')))
})

test('a damaged mask ends the export without a half-written file', () => {
  exported('results', '-f', 'coco', '-o', 'kept')
  const before = readFileSync(place.path('kept/instances.json'))
  const mask = place.path('results/masks/z.png')
  const whole = readFileSync(mask)
  try {
    writeFileSync(mask, whole.subarray(0, whole.length - 60))
    const { status, stderr } = place.run(['export', 'results', '-f', 'coco', '-o', 'kept'])
    assert.match(stderr, /results\/masks\/z.png: .*damaged/)
    assert.is(status, 1)
    assert.equal(place.files('kept'), ['instances.json'])
    assert.equal(readFileSync(place.path('kept/instances.json')), before)
    rmSync(mask)
    refused(/results\/masks lacks 1 mask that the journal lists \(z\)/, 'results', '-f', 'coco', '-o', 'kept')
  } finally {
    writeFileSync(mask, whole)
  }
})

const found = spawnSync(python, ['-c', 'import numpy, pycocotools.coco'], { encoding: 'utf8' })
const canRead = found.status === 0
if (!canRead) console.log(`skipped: reading COCO files: ${python} lacks pycocotools; CLIP_ES_TEST_PYTHON names another`)
const cocoTest: typeof test.skip = canRead ? test : test.skip

for (const [name, flags] of Object.entries({ rle: ['--rle'], polygons: ['--polygons'], regions: ['--polygons', '--regions'] }))
  cocoTest(`pycocotools reads the pixels of the masks, and their areas and boxes: ${name}`, async () => {
    const out = `read-${name}`
    exported('results', '-f', 'coco', ...flags, '-o', out)
    const args = [join(__dirname, 'read_coco.py'), place.path(out, 'instances.json'), place.path(out)]
    const { status, stdout, stderr } = spawnSync(python, args, { encoding: 'utf8' })
    assert.is(status, 0, stderr)
    const { images, scores, error, overlaps } = JSON.parse(stdout) as {
      images: Record<string, number>
      scores: number[]
      error: number
      overlaps: number
    }
    assert.equal([error, overlaps, Object.keys(images).length], [0, 0, 3])
    assert.ok(scores.length >= 6 && scores.every((score) => score > 0 && score < 1))
    for (const id of ids) {
      const { data } = await maskOf(id)
      const expected = Buffer.from(data.map((value) => (value === 255 ? 0 : value)))
      assert.ok(expected.equals(readFileSync(place.path(out, `${images[`${id}.png`]}.raw`))), id)
    }
  })

test.run()
