import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readCams } from '../../cli/src/formats/read_cams.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { emojiNames, makeDemoSet } from './demo_set.js'

const root = join(__dirname, '../..')
const main = join(root, 'cli/dist/main.js')
const folder = mkdtempSync(join(tmpdir(), 'clip-es-auto-'))
const photos = join(folder, 'photos')
const count = 48
const clipEs = (...args: string[]): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', cwd: folder })
const dataset = (...args: string[]) => clipEs('dataset', '--folder', photos, ...args)

let truth: Map<string, string[]>
test.before(async () => {
  assert.ok(existsSync(main), `${main} is missing: npm run build`)
  truth = await makeDemoSet(folder, count, 5)
})
test.after(() => rmSync(folder, { recursive: true, force: true }))

type Found = Record<string, { labels: string[]; presence: number[] }>
const foundIn = (out: string): Found => JSON.parse(readFileSync(join(out, 'labels.json'), 'utf8'))

const masksOf = (out: string) =>
  readdirSync(join(out, 'masks'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.png'))
    .sort()
    .map((name) => [name, readFileSync(join(out, 'masks', name), 'base64')] as const)

function figures(found: Found, known: ReadonlyMap<string, string[]>): { precision: number; recall: number } {
  const all = Object.entries(found)
  const hits = all.flatMap(([id, { labels }]) => labels.filter((label) => known.get(id)?.includes(label))).length
  const said = all.flatMap(([, { labels }]) => labels).length
  return { precision: hits / said, recall: hits / all.flatMap(([id]) => known.get(id) ?? []).length }
}

const out = join(folder, 'auto')

test('without labels every photo gets a mask of the classes that CLIP finds, and labels.json lists them', async () => {
  const { status, stdout, stderr } = dataset('--labels', 'auto', '-o', out, '--cams', '--confidence')
  assert.is(status, 0, stderr)
  assert.match(stdout, new RegExp(`^${count} photos to do`))
  const found = foundIn(out)
  assert.equal(Object.keys(found), [...truth.keys()].sort())
  for (const [id, { labels, presence }] of Object.entries(found)) {
    assert.is(presence.length, labels.length)
    assert.ok(presence.every((value) => value >= 0.15 && value <= 1))
    const values = new Set((await readMask(readFileSync(join(out, `masks/${id}.png`)))).data)
    for (const value of values) assert.ok(!value || labels.includes(emojiNames[value - 1] as string))
    assert.equal(
      (await readCams(join(out, `cams/${id}.npz`))).keys,
      labels.map((label) => emojiNames.indexOf(label)),
    )
  }
})

test('precision and recall on generated pictures are those that were measured', () => {
  const { precision, recall } = figures(foundIn(out), truth)
  const [percentPrecision, percentRecall] = [100 * precision, 100 * recall]
  // One label more or less changes the figures by up to 1; other processors round other ways.
  const text = `precision ${percentPrecision.toFixed(1)} %, recall ${percentRecall.toFixed(1)} %`
  assert.ok(Math.abs(percentPrecision - 73.1) < 3 && Math.abs(percentRecall - 74.5) < 3, text)
})

test('precision and recall on the shipped scenes are those of docs/datasets.md', () => {
  const scenes = JSON.parse(readFileSync(join(root, 'models/scenes/labels.json'), 'utf8')) as Record<string, { labels: string[] }>
  const dir = join(folder, 'scenes')
  mkdirSync(dir)
  for (const name of Object.keys(scenes)) copyFileSync(join(root, `models/scenes/${name}.png`), join(dir, `${name}.png`))
  const place = join(folder, 'scenes-out')
  assert.is(clipEs('dataset', '--folder', dir, '--labels', 'auto', '-o', place).status, 0)
  const { precision, recall } = figures(
    foundIn(place),
    new Map(Object.entries(scenes).map(([name, { labels }]) => [name, labels])),
  )
  assert.ok(Math.abs(100 * precision - 81.5) < 0.1 && Math.abs(100 * recall - 88) < 0.1, `${precision}, ${recall}`)
})

test('a second run has nothing to do, and after a photo changed it does that one', async () => {
  assert.match(
    dataset('--labels', 'auto', '-o', out, '--cams', '--confidence').stdout,
    new RegExp(`^0 photos to do, ${count} done before`),
  )
  const before = foundIn(out)
  const [id] = [...truth.keys()] as [string]
  const file = join(photos, `${id}.png`)
  const bytes = readFileSync(file)
  writeFileSync(file, await sharp(bytes).greyscale().png().toBuffer())
  assert.match(dataset('--labels', 'auto', '-o', out).stdout, new RegExp(`^1 photo to do, ${count - 1} done before`))
  writeFileSync(file, bytes)
  dataset('--labels', 'auto', '-o', out, '--cams', '--confidence')
  assert.equal(foundIn(out), before)
})

test('labels.json, corrected or not, can be used as a labels file', () => {
  const again = join(folder, 'again')
  const { status, stdout, stderr } = dataset('--labels', join(out, 'labels.json'), '-o', again)
  assert.is(status, 0, stderr)
  const empty = Object.values(foundIn(out)).filter(({ labels }) => !labels.length).length
  assert.match(stdout, new RegExp(`^${count - empty} photos? to do`))
  const own = new Map(masksOf(out))
  for (const [name, bytes] of masksOf(again)) assert.is(bytes, own.get(name), name)
})

test('another threshold, or labels from a file, are other settings', () => {
  const refused = dataset('--labels', 'auto', '--label-threshold', '0.4', '-o', out)
  assert.is(refused.status, 2)
  assert.match(refused.stderr, /labelThreshold was 0\.15 and is 0\.4/)
  const given = dataset('--labels', 'labels.csv', '-o', out)
  assert.is(given.status, 2)
  assert.match(given.stderr, /labelThreshold was 0\.15 and is nothing/)
})

test('a photo without labels is all background, and can be evaluated', async () => {
  const none = join(folder, 'none')
  const { status, stdout } = dataset(
    '--labels',
    'auto',
    '--label-threshold',
    '1',
    '--cams',
    '--confidence',
    '-o',
    none,
    '--shard',
    '1/8',
  )
  assert.is(status, 0)
  assert.match(stdout, /: nothing found \(1\/6, /)
  const [id, { labels }] = Object.entries(foundIn(none))[0] as [string, { labels: string[] }]
  assert.equal(labels, [])
  const mask = await readMask(readFileSync(join(none, `masks/${id}.png`)))
  assert.ok(mask.data.every((value) => value === 0))
  const cams = await readCams(join(none, `cams/${id}.npz`))
  assert.equal([cams.keys.length, cams.width, cams.height], [0, mask.width, mask.height])
  for (const what of [[], ['--cams']]) assert.is(clipEs('eval', none, '--truth', 'truth', ...what).status, 0)
})

test('shards share one labels.json', () => {
  const place = join(folder, 'shards')
  for (const part of ['1/8', '2/8']) assert.is(dataset('--labels', 'auto', '-o', place, '--shard', part).status, 0)
  assert.is(Object.keys(foundIn(place)).length, 12)
})

test('VOC works without XML files, and COCO without objects', async () => {
  const voc = join(folder, 'voc')
  for (const dir of ['JPEGImages', 'ImageSets/Segmentation']) mkdirSync(join(voc, dir), { recursive: true })
  const [id] = [...truth.keys()] as [string]
  await sharp(join(photos, `${id}.png`))
    .jpeg({ quality: 95 })
    .toFile(join(voc, 'JPEGImages/1.jpg'))
  writeFileSync(join(voc, 'ImageSets/Segmentation/val.txt'), '1\n2\n')
  const common = ['--labels', 'auto', '--class-file', 'emoji']
  const first = clipEs('dataset', '--voc', voc, '--split', 'val', ...common, '-o', 'voc-out')
  assert.is(first.status, 1, first.stderr)
  assert.match(first.stderr, /clip-es: 2: there is no photo/)
  assert.equal(Object.keys(foundIn(join(folder, 'voc-out'))), ['1'])
  const annotations = join(folder, 'instances.json')
  writeFileSync(annotations, JSON.stringify({ images: [{ id: 7, file_name: '1.jpg' }], annotations: [], categories: [] }))
  const second = clipEs('dataset', '--coco', join(voc, 'JPEGImages'), '--annotations', annotations, ...common, '-o', 'coco-out')
  assert.is(second.status, 0, second.stderr)
  assert.equal(foundIn(join(folder, 'coco-out')), foundIn(join(folder, 'voc-out')))
})

test('segment --labels auto finds the labels of each photo', () => {
  const scene = join(root, 'models/scenes/scene05.png')
  const args = ['segment', scene, '--class-file', 'emoji', '--labels', 'auto', '-o', 'segment-out', '--json', '--overlay']
  const found = JSON.parse(clipEs(...args).stdout)
  assert.equal(
    found.labels.map(({ name }: { name: string }) => name),
    ['car', 'bus', 'umbrella'], // there is no car
  )
  const none = JSON.parse(clipEs(...args, '--label-threshold', '1').stdout)
  assert.equal([none.labels, none.background], [[], 1])
})

test('the error for a wrong command line says what would be right', () => {
  const scene = join(root, 'models/scenes/scene02.png')
  for (const [args, message] of [
    [
      ['dataset', '--folder', photos, '--labels', 'labels.csv', '--label-threshold', '0.2'],
      /--label-threshold needs --labels auto/,
    ],
    [['dataset', '--folder', photos, '--labels', 'auto', '--label-threshold', '2'], /number from 0 to 1/],
    [['dataset', '--folder', photos, '--labels', 'auto', '--background', '', '-o', 'x'], /without background words/],
    [
      ['dataset', '--folder', 'voc/ImageSets', '--labels', 'auto', '-o', 'x'],
      /there is no photo in voc\/ImageSets|there is no photo in .*ImageSets/,
    ],
    [['segment', scene, '--class-file', 'emoji', '--label-threshold', '0.2'], /--label-threshold needs --labels auto/],
    [['segment', scene, '--class-file', 'emoji', '--labels', 'auto', '--background', ''], /needs background words/],
  ] as [string[], RegExp][]) {
    const { status, stderr } = clipEs(...args)
    assert.is(status, 2, `${args.join(' ')}: ${stderr}`)
    assert.match(stderr, message)
  }
})

test.run()
