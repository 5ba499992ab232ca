// `clip-es predict` with a stand-in for the training program: sources, results, resume and faults.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readMask } from '../../ts/photos/mask_png.js'
import { emojiNames } from './demo_set.js'
import { jsonLines, type Workplace } from './support.js'
import { trainPlace } from './train_place.js'

const count = 4
let place: Workplace
test.before(async () => {
  place = await trainPlace(count)
  assert.is(place.run(['train', 'masks', '-o', 'run', '--iterations', '2', '--threads', '1']).status, 0)
})
test.after(() => place.remove())

const predict = (...args: string[]) => place.run(['predict', 'run', '--threads', '1', ...args])
const maskOf = async (file: string) => (await readMask(readFileSync(place.path(file)))).data
const fileOf = (i: number, extension = 'png') => `00/000${i}.${extension}`

/** What the stand-in sees: the label by the red of a pixel. */
async function expected(photo: string): Promise<Uint8Array> {
  const rgb = await sharp(place.path(photo)).removeAlpha().raw().toBuffer()
  const labels = emojiNames.length + 1
  return Uint8Array.from({ length: rgb.length / 3 }, (_, i) => Math.floor(((rgb[3 * i] as number) * labels) / 256))
}

test('a folder: a mask and a confidence for each photo, by the ids of a data set of that folder', async () => {
  const { status, stdout, stderr } = predict('demo/photos', '--confidence', '-o', 'out')
  assert.is(status, 0, stderr)
  assert.match(stdout, new RegExp(`^${count} photos to do; results in ${place.path('out')}\n`))
  assert.match(stdout, /\n4 photos done in /)
  const made = place.files('out').filter((file) => /\.png$/.test(file))
  assert.equal(
    made,
    ['confidence', 'masks'].flatMap((kind) => [0, 1, 2, 3].map((i) => `${kind}/${fileOf(i)}`)),
  )
  for (let i = 0; i < count; i++) assert.equal(await maskOf(`out/masks/${fileOf(i)}`), await expected(`demo/photos/${fileOf(i)}`))
  const { depth } = await sharp(place.path(`out/confidence/${fileOf(0)}`)).metadata()
  assert.is(depth, 'ushort')
})

test('a second run continues, a photo that is missing is done again, and other settings are refused', () => {
  const args = ['demo/photos', '--confidence', '-o', 'out']
  assert.match(predict(...args).stdout, /^0 photos to do, 4 done before/)
  const { status, stderr } = predict(...args, '--scales', '0.5')
  assert.is(status, 2)
  assert.match(stderr, /out holds results of other settings: scales was \[1\] and is \[0\.5\]\. Choose another folder with --out/)
  writeFileSync(place.path(`out/masks/${fileOf(1)}`), '')
  assert.match(predict(...args).stdout, /^1 photo to do, 3 done before/)
  assert.match(predict(...args, '--scales', '0.5', '--overwrite').stdout, /^4 photos to do/)
})

test('eval, report and export know the results', () => {
  for (const args of [
    ['eval', 'out', '--truth', 'demo/truth'],
    ['report', 'out'],
    ['export', 'out', '--format', 'coco', '-o', 'coco'],
    ['train', 'out', '--iterations', '2', '--threads', '1', '-o', 'second'], // self-training
  ]) {
    const { status, stderr } = place.run(args)
    assert.is(status, 0, stderr)
  }
  const page = readFileSync(place.path('out/report.html'), 'utf8')
  assert.match(page, /<dt>Network<\/dt><dd>small<\/dd>/)
  assert.is(JSON.parse(readFileSync(place.path('coco/instances.json'), 'utf8')).images.length, count)
  assert.is(JSON.parse(readFileSync(place.path('second/job.json'), 'utf8')).samples[0].mask, place.path(`out/masks/${fileOf(0)}`))
})

test('photos by name have the ids of their paths, and a photo that fails does not stop the others', async () => {
  await sharp(place.path(`demo/photos/${fileOf(0)}`))
    .resize(13, 9)
    .toFile(place.path('narrow.png'))
  const { status, stdout, stderr } = predict('narrow.png', `demo/photos/${fileOf(1)}`, 'gone.jpg', '--json', '-o', 'named')
  assert.is(status, 1)
  const events = jsonLines(stdout) as unknown as { event: string; id?: string; message?: string }[]
  assert.equal(
    events.map(({ event, id }) => `${event} ${id ?? ''}`.trim()),
    ['failed gone.jpg', 'failed narrow', 'done demo/photos/00/0001', 'end'],
    stderr,
  )
  assert.is(events[1]?.message, 'it does not like this width')
})

test('a data set; with --known-labels only its labels can be in the masks, and the CRF runs as asked', async () => {
  const args = ['--folder', 'demo/photos', '--labels', 'demo/labels.csv', '--known-labels', '--crf']
  const { status, stderr } = predict(...args, '-o', 'known')
  assert.is(status, 0, stderr)
  const lines = readFileSync(place.path('demo/labels.csv'), 'utf8').trim().split('\n').slice(1)
  for (const [i, line] of lines.entries()) {
    const labels = (line.split(',')[1] as string).split(';').map((name) => emojiNames.indexOf(name) + 1)
    const others = (await maskOf(`known/masks/${fileOf(i)}`)).filter((value) => value !== 0 && !labels.includes(value))
    assert.is(others.length, 0)
  }
  const { settings } = JSON.parse(readFileSync(place.path('known/manifest.json'), 'utf8'))
  assert.equal([settings.crf, settings.knownLabels, settings.set], [true, true, 'folder'])
})

test('Ctrl-C ends at once with whole files, and a second run does the others', async () => {
  mkdirSync(place.path('many'))
  const scene = await sharp(place.path(`demo/photos/${fileOf(0)}`)).toBuffer()
  for (let i = 0; i < 40; i++) writeFileSync(place.path(`many/p${i}.png`), scene)
  const args = ['predict', 'run', 'many', '--threads', '1', '-o', 'stopped']
  const { child, ended } = place.start(args)
  let lines = 0
  child.stdout?.on('data', (text: Buffer) => {
    const before = lines
    lines += text.toString().split('\n').length - 1
    if (before < 3 && lines >= 3) child.kill('SIGINT')
  })
  assert.is((await ended).status, 130)
  const made = place.files('stopped/masks').length
  assert.ok(made >= 2 && made < 40, String(made))
  const again = place.run(args)
  assert.match(again.stdout, new RegExp(`^${40 - made} photos to do, ${made} done before`))
  assert.is(place.files('stopped/masks').length, 40)
})

test('a wrong command line ends with status 2 and the remedy', () => {
  writeFileSync(place.path('other.safetensors'), JSON.stringify({ classes: ['background', 'x'], network: 'small' }))
  for (const [args, message] of [
    [['nowhere'], /nowhere is not a training run; name a folder that clip-es train filled/],
    [['masks', 'demo/photos'], /manifest\.json is not about a training run/],
    [['run'], /predict: name a data set/],
    [['run', 'demo/photos', '--folder', 'demo/photos'], /name photos or a data set, not both/],
    [['run', '--folder', 'demo/photos', '--labels', 'demo/labels.csv'], /add --known-labels, or leave out --labels/],
    [['run', 'demo/photos', '--known-labels'], /--known-labels needs a data set/],
    [['run', 'demo/photos', '--weights', 'gone'], /there are no weights gone; start clip-es train again/],
    [['run', 'demo/photos', '--scales', '0'], /Expected a number/],
  ] as const) {
    const { status, stderr } = place.run(['predict', ...args, '-o', 'never'])
    assert.is(status, 2, stderr)
    assert.match(stderr, message)
  }
  const { status, stderr } = place.run(['predict', 'run', 'demo/photos', '--weights', 'other.safetensors', '-o', 'never'])
  assert.is(status, 1)
  assert.match(stderr, /the weights .*other\.safetensors are for 2 labels .*, and the run has 73/)
})

test.run()
