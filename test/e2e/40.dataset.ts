import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readCams } from '../../cli/src/formats/read_cams.js'
import { maskFromCams } from '../../cli/src/metrics/cam_rule.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { testIf } from '../test_if.js'
import { clipEs, count, dataset, files, folder, labelsFile, makePhotos, photos, whole } from './demo_dataset.js'
import { emojiNames } from './demo_set.js'

let labels: Map<string, string[]>
test.before(async () => {
  labels = await makePhotos()
})

test('a folder of photos: a mask, a confidence map and CAMs for each', async () => {
  const { status, stdout, stderr } = dataset('-o', whole, '--confidence', '--cams')
  assert.is(status, 0, stderr)
  assert.match(stdout, new RegExp(`^${count} photos to do; results in ${whole}\n`))
  assert.match(stdout, /\n\d\d\/\d{4}: [a-z, ]+ \(\d+\/60, [\d.]+\/(s|min), .* left\)\n/, 'a line for each photo')
  assert.match(stdout, new RegExp(`\n${count} photos done in .* \\([\\d.]+/s\\)\n$`))
  assert.equal(
    files(whole).filter((file) => !file.startsWith('journal')),
    [
      'manifest.json',
      ...[...labels.keys()].flatMap((id) => [`cams/${id}.npz`, `confidence/${id}.png`, `masks/${id}.png`]),
    ].sort(),
  )
})

test('a mask has the size of its photo and only the values of its labels, and agrees with its CAMs', async () => {
  for (const [id, names] of labels) {
    const { width, height } = await sharp(join(photos, `${id}.png`)).metadata()
    const mask = await readMask(readFileSync(join(whole, `masks/${id}.png`)))
    assert.equal([mask.width, mask.height], [width, height])
    const values = names.map((name) => emojiNames.indexOf(name) + 1)
    assert.equal(
      [...new Set(mask.data)].filter((value) => value && !values.includes(value)),
      [],
    )
    const cams = await readCams(join(whole, `cams/${id}.npz`))
    assert.equal(
      cams.keys,
      values.map((value) => value - 1).sort((a, b) => a - b),
    )
    const made = maskFromCams(cams, { power: 1 })
    const off = made.filter((value, i) => value !== mask.data[i]).length
    assert.ok(off <= made.length * 0.01, `${id}: ${off} pixels`) // CAMs are rounded to float16
    const confidence = await sharp(join(whole, `confidence/${id}.png`)).metadata()
    assert.equal([confidence.width, confidence.height, confidence.depth], [width, height, 'ushort'])
  }
})

test('--json prints an object for each photo and one at the end', () => {
  const { stdout } = dataset('-o', join(folder, 'json'), '--shard', '1/20', '--json')
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.equal(
    events.map(({ event }) => event),
    ['done', 'done', 'done', 'end'],
  )
  assert.equal(events[3].done, 3)
  assert.equal(events[0].labels, labels.get(events[0].id))
})

test('the error for a wrong command line says what would be right', () => {
  for (const [args, message] of [
    [[], /name a data set: --voc DIR --split NAME/],
    [['--voc', 'x'], /--voc needs --split/],
    [['--coco', 'x'], /--coco needs --annotations/],
    [['--folder', 'x', '--split', 'val', '--labels', 'y'], /--split cannot be used with --folder/],
    [['--folder', 'x', '--coco', 'y'], /cannot be used with option/],
    [['--folder', photos, '--labels', 'none.csv'], /there is no labels file .*none\.csv; name an existing one with --labels/],
    [['--folder', photos, '--labels', labelsFile, '--class-file', 'none.json'], /none\.json: cannot be read/],
    [['--folder', photos, '--labels', labelsFile, '--box-treshold', '1'], /Did you mean --box-threshold\?/],
  ] as [string[], RegExp][]) {
    const { status, stderr } = clipEs('dataset', ...args)
    assert.is(status, 2, args.join(' '))
    assert.match(stderr, message)
  }
})

test('masks have the stored size of the photo, whatever its EXIF orientation', async () => {
  const dir = join(folder, 'exif')
  mkdirSync(dir)
  const [first] = [...labels.keys()] as [string]
  await sharp(join(photos, `${first}.png`))
    .jpeg({ quality: 95 })
    .withMetadata({ orientation: 6 })
    .toFile(join(dir, 'x.jpg'))
  writeFileSync(
    join(dir, 'labels.txt'),
    `x.jpg ${(labels.get(first) as string[]).map((name) => name.replace(' ', '_')).join(' ')}\n`,
  )
  assert.is(clipEs('dataset', '--folder', dir, '--labels', join(dir, 'labels.txt'), '-o', join(dir, 'out')).status, 0)
  const { width, height } = await sharp(join(dir, 'x.jpg')).metadata()
  const mask = await readMask(readFileSync(join(dir, 'out/masks/x.png')))
  assert.equal([mask.width, mask.height], [width, height])
})

// ---------------------------------------------------------------- real photos
const data = process.env.CLIP_ES_DATA
const dataTest = testIf(data, 'VOC and COCO: CLIP_ES_DATA names no folder of real photos')

dataTest('VOC: every photo of a split gets a mask of its size', async () => {
  const voc = join(data as string, 'voc/VOC2012')
  const out = join(folder, 'voc')
  const { status, stderr } = clipEs('dataset', '--voc', voc, '--split', 'val', '--labels', join(voc, 'labels.txt'), '-o', out)
  assert.is(status, 0, stderr)
  const ids = readFileSync(join(voc, 'ImageSets/Segmentation/val.txt'), 'utf8').trim().split('\n')
  assert.equal(files(join(out, 'masks')), ids.map((id) => `${id}.png`).sort())
  for (const id of ids) {
    const [mask, truth] = await Promise.all(
      [join(out, 'masks', `${id}.png`), join(voc, 'SegmentationClass', `${id}.png`)].map((file) => readMask(readFileSync(file))),
    )
    assert.equal([mask?.width, mask?.height], [truth?.width, truth?.height])
  }
  const evaluated = clipEs('eval', out)
  assert.is(evaluated.status, 0, evaluated.stderr)
  assert.match(evaluated.stdout, /60 pictures, 21 labels/)
})

dataTest('COCO: labels come from the annotations, under the names of the paper', () => {
  const coco = join(data as string, 'coco')
  const out = join(folder, 'coco')
  const { status, stderr } = clipEs(
    'dataset',
    '--coco',
    coco,
    '--annotations',
    join(coco, 'annotations/instances.json'),
    '-o',
    out,
  )
  assert.is(status, 0, stderr)
  assert.is(files(join(out, 'masks')).length, 40)
  const evaluated = clipEs('eval', out, '--json') // the truth is drawn from the annotations' shapes
  assert.is(evaluated.status, 0, evaluated.stderr)
  assert.is(JSON.parse(evaluated.stdout).images, 40)
  assert.is(clipEs('report', out).status, 0)
})

test.run()
