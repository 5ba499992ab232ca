// `clip-es export` as a whole, in this process: every format's files, the lines that are printed, and what is refused.
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { exportCommand } from '../../cli/src/export/command.js'
import { valuesIn } from '../../cli/src/export/photo.js'
import { UsageError } from '../../cli/src/shared/usage.js'
import { commandVersion } from '../../cli/src/shared/version.js'
import { encodeMask } from '../../ts/photos/mask_png.js'
import { ownPicture } from '../../ts/support/index.js'
import { photoOf } from './export_support.js'
import { having } from './machine_support.js'
import { mapOf } from './masks.js'
import { reasonOf, temporaryFolder } from './support.js'

const folder = temporaryFolder()
const results = join(folder, 'results')
const words = ['--classes', 'cat,dog & co']

async function writeMask(path: string, source?: string): Promise<void> {
  const file = join(folder, path)
  mkdirSync(dirname(file), { recursive: true })
  const { data, width, height } = mapOf('11.2', '1...', '..*2')
  writeFileSync(file, await encodeMask(data, { width, height, photo: source }))
}

test.before(async () => {
  await writeMask('results/a/x y.png', '../../photos/a/x y.jpg')
  await writeMask('results/z.png', '../photos/z.webp')
  for (const path of ['photos/a/x y.jpg', 'photos/z.webp']) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), '')
  }
})

/** The lines of an export. */
async function exported(format: string, ...args: string[]): Promise<string[]> {
  const lines: string[] = []
  await having(console, { log: (line: string) => lines.push(line), error: (line: string) => lines.push(line) }, async () => {
    const command = exportCommand().exitOverride()
    await command.parseAsync([results, ...words, '-f', format, '-o', join(folder, format), ...args], { from: 'user' })
  })
  return lines
}
const read = (...path: string[]) => readFileSync(join(folder, ...path), 'utf8')

async function refused(format: string, args: string[], message: string): Promise<void> {
  const error = (await reasonOf(exported(format, ...args))) as Error
  assert.ok(error instanceof UsageError, String(error))
  assert.is(error.message, message.replaceAll('DIR', folder))
}

test('COCO: the whole file', async () => {
  assert.equal(await exported('coco', '--polygons'), [`2 photos exported: ${join(folder, 'coco/instances.json')}`])
  const { info, licenses, categories, images, annotations } = JSON.parse(read('coco/instances.json'))
  assert.equal([info, licenses], [{ description: 'Masks by clip-es' }, []])
  assert.equal(categories, [
    { id: 1, name: 'cat', supercategory: '' },
    { id: 2, name: 'dog & co', supercategory: '' },
  ])
  assert.equal(images, [
    { id: 1, file_name: 'a/x y.jpg', width: 4, height: 3 },
    { id: 2, file_name: 'z.webp', width: 4, height: 3 },
  ])
  const cat = [[1, 1, 1, 2, 0, 2, 0, 0, 2, 0, 2, 1]]
  const dog = [
    [4, 0, 4, 1, 3, 1, 3, 0],
    [4, 2, 4, 3, 3, 3, 3, 2],
  ]
  const each = (image_id: number, id: number) => [
    { id, image_id, category_id: 1, segmentation: cat, area: 3, bbox: [0, 0, 2, 2], iscrowd: 0 },
    { id: id + 1, image_id, category_id: 2, segmentation: dog, area: 2, bbox: [3, 0, 1, 3], iscrowd: 0 },
  ]
  const sorted = (rings: number[][]) => rings.map((ring) => ring.toSorted((a, b) => a - b))
  const plain = (list: { segmentation: number[][] }[]) => list.map((one) => ({ ...one, segmentation: sorted(one.segmentation) }))
  assert.equal(plain(annotations), plain([...each(1, 1), ...each(2, 3)]))
  await exported('coco')
  assert.equal(JSON.parse(read('coco/instances.json')).annotations[0].segmentation, { size: [3, 4], counts: '021O7' })
})

test('labelme: the whole file, with the path of the photo from its folder', async () => {
  assert.equal(await exported('labelme', '--regions'), [`2 photos exported: ${join(folder, 'labelme')}`])
  const { shapes, ...rest } = JSON.parse(read('labelme/a/x y.json'))
  assert.equal(rest, {
    ...{ version: '5.5.0', flags: {}, imagePath: '../../photos/a/x y.jpg', imageData: null, imageHeight: 3, imageWidth: 4 },
  })
  const common = { group_id: null, description: '', flags: {} }
  assert.equal(
    shapes.map(({ points: _, ...shape }: { points: unknown }) => shape),
    ['cat', 'dog & co', 'dog & co'].map((label) => ({ label, shape_type: 'polygon', mask: null, ...common })),
  )
  await exported('labelme', '--rle')
  const [first] = JSON.parse(read('labelme/z.json')).shapes
  const { mask, ...shape } = first
  assert.equal(shape, { label: 'cat', points: [[0, 0], [1, 1]], shape_type: 'mask', ...common, group_id: 1 }) // biome-ignore format: a table
  assert.match(mask, /^iVBORw0KGgo/)
})

test('YOLO: labels, names, and links to the photos, which replace links and nothing else', async () => {
  await exported('yolo')
  assert.not(existsSync(join(folder, 'yolo/images')))
  mkdirSync(join(folder, 'yolo/images/a'), { recursive: true })
  writeFileSync(join(folder, 'yolo/images/z.webp'), 'mine')
  symlinkSync('nowhere', join(folder, 'yolo/images/a/x y.jpg'))
  assert.equal(await exported('yolo', '--link-photos'), [`2 photos exported: ${join(folder, 'yolo/data.yaml')}`])
  assert.is(readlinkSync(join(folder, 'yolo/images/a/x y.jpg')), join(folder, 'photos/a/x y.jpg'))
  assert.is(read('yolo/images/z.webp'), 'mine')
  assert.is(read('yolo/labels/a/x y.txt'), read('yolo/labels/z.txt'))
  await writeMask('twins/x.jpg.png', '../photos/a/x.jpg')
  await writeMask('twins/x.png.png', '../photos/a/x.png')
  const both = exportCommand().exitOverride()
  const reason = await reasonOf(
    both.parseAsync([join(folder, 'twins'), ...words, '-f', 'yolo', '-o', join(folder, 'y')], { from: 'user' }),
  )
  assert.is(
    (reason as Error).message,
    'YOLO would take the labels of x.jpg and x.png from one file, x.txt; rename one of the photos',
  )
})

test('Label Studio: tasks whose address begins as its own server has it, and the labelling interface', async () => {
  assert.equal(await exported('label-studio'), [`2 photos exported: ${join(folder, 'label-studio/tasks.json')}`])
  const tasks = JSON.parse(read('label-studio/tasks.json'))
  assert.is(tasks[0].data.image, '/data/local-files/?d=a/x%20y.jpg')
  const [{ model_version, result }] = tasks[0].predictions
  assert.is(model_version, `clip-es ${commandVersion()}`)
  assert.equal(
    result.map(({ type, from_name, to_name, value }: Record<string, { brushlabels: string[] }>) => [
      type,
      from_name,
      to_name,
      value?.brushlabels,
    ]),
    ['cat', 'dog & co'].map((name) => ['brushlabels', 'brush', 'image', [name]]),
  )
  const head = '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
  const labels = ['cat" background="#800000', 'dog &#38; co" background="#008000']
    .map((text) => `    <Label value="${text}"/>\n`)
    .join('')
  const tool = (tag: string, name: string) => `${head}  <${tag} name="${name}" toName="image">\n${labels}  </${tag}>\n</View>\n`
  assert.is(read('label-studio/labeling.xml'), tool('BrushLabels', 'brush'))
  await exported('label-studio', '--polygons', '--url-prefix', 'https://x/')
  assert.is(read('label-studio/labeling.xml'), tool('PolygonLabels', 'polygon'))
  assert.is(JSON.parse(read('label-studio/tasks.json'))[1].data.image, 'https://x/z.webp')
})

test('pictures are marked as those of clip-es, and --json has an object for each photo and one at the end', async () => {
  await exported('grey')
  assert.is(ownPicture(join(folder, 'grey/a/x y.png')), 'mask')
  const events = (await exported('rgb', '--json')).map((line) => JSON.parse(line))
  assert.equal(
    events.map(({ perSecond: _, ...rest }) => rest),
    [
      { event: 'done', id: 'a/x y', ended: 1, total: 2 },
      { event: 'done', id: 'z', ended: 2, total: 2 },
      { event: 'end', photos: 2, written: join(folder, 'rgb') },
    ],
  )
  assert.is(ownPicture(join(folder, 'rgb/z.png')), 'overlay')
  assert.equal(readdirSync(join(folder, 'rgb')).sort(), ['a', 'z.png'])
})

test('options that the format does not have are refused, and those that it has are not', async () => {
  const not = (option: string, format: string) => `export: ${option} cannot be used with --format ${format}; leave it out`
  await refused('coco', ['--polygons', '--rle'], 'export: --polygons and --rle cannot be used together; choose one')
  for (const [format, ...options] of [
    ['coco', '--link-photos', '--url-prefix=x'],
    ['yolo', '--rle', '--regions', '--url-prefix=x'],
    ['labelme', '--link-photos', '--url-prefix=x'],
    ['label-studio', '--link-photos'],
    ['grey', '--rle', '--polygons', '--regions', '--link-photos', '--url-prefix=x'],
    ['rgb', '--rle', '--polygons', '--regions'],
  ] as [string, ...string[]][])
    for (const option of options) await refused(format, [option], not(option.split('=')[0] as string, format))
  for (const [format, ...options] of [
    ['coco', '--rle', '--polygons', '--regions'],
    ['yolo', '--polygons'],
    ['labelme', '--rle', '--polygons'],
    ['label-studio', '--rle', '--regions'],
  ] as [string, ...string[]][])
    for (const option of options) await exported(format, option)
})

test('folders that would mix results, and photos that are not known or not there, are refused', async () => {
  await refused(
    'grey',
    ['-o', results],
    `export: DIR/results is in the folder of the masks, DIR/results; choose another folder with --out`,
  )
  await refused(
    'grey',
    ['-o', join(results, 'a/b')],
    'export: DIR/results/a/b is in the folder of the masks, DIR/results; choose another folder with --out',
  )
  const photo = join(folder, 'photos/z.webp')
  rmSync(photo)
  const gone =
    "export: DIR/photos/z.webp, the photo of the mask DIR/results/z.png, is not there; name the photos' folder with --photos"
  await refused('labelme', [], gone)
  await refused('yolo', ['--link-photos'], gone)
  await exported('yolo')
  writeFileSync(photo, '')
  await writeMask('results/w.png')
  const unknown = "export: the mask DIR/results/w.png does not say which photo it is of; name the photos' folder with --photos"
  for (const format of ['coco', 'yolo', 'labelme', 'label-studio']) await refused(format, [], unknown)
  await exported('grey')
  rmSync(join(results, 'w.png'))
})

test('a mask of another size, or with a value that no class has, is refused with its id', () => {
  const photo = photoOf(mapOf('12*'), 'a/x')
  assert.equal(valuesIn(photo, [{ name: 'cat' }, { name: 'dog' }]), [1, 2])
  assert.throws(
    () => valuesIn(photo, [{ name: 'cat' }]),
    'a/x: the mask has the value 2, and there are 1 classes; name the class file that the masks were made with',
  )
  assert.throws(() => valuesIn({ ...photo, height: 2 }, []), 'a/x: the mask has 3 values; 3 x 2 needs 6')
})

test.run()
