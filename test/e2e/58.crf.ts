import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readCams } from '../../cli/src/formats/read_cams.js'
import { denseCrf } from '../../ts/index.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { releasedCams } from '../released_cams.js'
import { scenes, Workplace } from './support.js'

const place = new Workplace()
const asked = ['--class-file', 'emoji', '--classes', 'giraffe,rabbit,frog', '--cams']

test.before(() => {
  for (const name of ['scene09', 'scene10']) copyFileSync(join(scenes, `${name}.png`), place.path(`${name}.png`))
  assert.is(place.run(['segment', 'scene09.png', 'scene10.png', ...asked, '-o', 'maps']).status, 0)
})
test.after(() => place.remove())

const maskOf = async (...parts: string[]): Promise<Uint8Array> => (await readMask(readFileSync(place.path(...parts)))).data

const events = (stdout: string): Record<string, unknown>[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

test('crf on the maps of segment gives the masks of segment --crf', async () => {
  assert.is(place.run(['segment', 'scene09.png', ...asked, '--crf', '-o', 'whole']).status, 0)
  const { status, stderr, stdout } = place.run(['crf', 'maps', '-o', 'refined', '--confidence'])
  assert.is(status, 0, stderr)
  assert.match(stdout, /2 photos done/)
  const [whole, refined] = [await maskOf('whole/scene09.png'), await maskOf('refined/masks/scene09.png')]
  assert.is(refined.length, whole.length)
  const different = refined.filter((value, i) => value !== whole[i]).length
  assert.ok(different <= whole.length / 1000, `${different} of ${whole.length} pixels differ`) // the maps were float16
  assert.ok(place.files('refined').includes('confidence/scene10.png'))
})

test('crf continues an earlier run, and refuses to mix settings', () => {
  assert.match(place.run(['crf', 'maps', '-o', 'refined', '--confidence']).stdout, /^0 photos to do, 2 done before/)
  const mixed = place.run(['crf', 'maps', '-o', 'refined', '--rounds', '3'])
  assert.is(mixed.status, 2)
  assert.match(mixed.stderr, /holds results of other maps or settings/)
  const replaced = place.run(['crf', 'maps', '-o', 'refined', '--rounds', '3', '--overwrite', '--json'])
  assert.is(replaced.status, 0, replaced.stderr)
  assert.is(events(replaced.stdout).at(-1)?.done, 2)
})

test('maps that changed are done again', () => {
  const args = ['crf', 'maps', '-o', 'again']
  assert.match(place.run(args).stdout, /^2 photos to do/)
  const file = place.path('maps/scene10.npz')
  writeFileSync(file, readFileSync(file))
  assert.match(place.run(args).stdout, /^1 photo to do, 1 done before/)
})

test('a bad file is reported, and the others are done', () => {
  const maps = place.path('maps/scene10.npz')
  const whole = readFileSync(maps)
  writeFileSync(maps, whole.subarray(0, 1000))
  const { status, stderr, stdout } = place.run(['crf', 'maps', '-o', 'damaged', '--json'])
  writeFileSync(maps, whole)
  assert.is(status, 1)
  const told = events(stdout)
  assert.match(String(told.find(({ event }) => event === 'failed')?.message), /scene10\.npz: it is damaged/, stderr)
  assert.equal(place.files('damaged/masks'), ['scene09.png'])
  assert.is(told.at(-1)?.failed, 1)
  assert.match(place.run(['crf', 'maps', '-o', 'damaged']).stdout, /^1 photo to do, 1 done before/)
})

test('a wrong command line ends with status 2 and the remedy', () => {
  for (const [args, message] of [
    [['nowhere'], /there is no folder nowhere/],
    [['maps', '-o', 'maps'], /choose another folder with --out/],
    [['refined', '-o', 'other'], /there are no maps/],
    [['maps', '--position-sigma', '0'], /position-sigma/],
  ] as const) {
    const { status, stderr } = place.run(['crf', ...args])
    assert.is(status, 2, stderr)
    assert.match(stderr, message)
  }
})

test('maps without their photo, or of another size, name both', async () => {
  mkdirSync(place.path('small'))
  await sharp(place.path('scene09.png')).resize(50, 40).toFile(place.path('small/scene09.png'))
  const { status, stderr } = place.run(['crf', 'maps', '-o', 'alone', '--photos', 'small'])
  assert.is(status, 1)
  assert.match(stderr, /scene09: .*scene09\.npz has maps of \d+ x \d+; small\/scene09\.png is 50 x 40/)
  assert.match(stderr, /scene10: there is no photo named scene10 in small; name the photos' folder with --photos/)
})

test("the released pipeline's .npy and its colour order give the masks of denseCrf() with the same maps", async () => {
  for (const folder of ['npy', 'photos']) mkdirSync(place.path(folder))
  writeFileSync(place.path('npy/tiny.npy'), releasedCams)
  const pixels = Uint8Array.from({ length: 18 }, (_, i) => 14 * i)
  await sharp(pixels, { raw: { width: 3, height: 2, channels: 3 } })
    .png()
    .toFile(place.path('photos/tiny.png'))
  for (const name of ['scene09', 'scene10']) copyFileSync(place.path(`${name}.png`), place.path(`photos/${name}.png`))
  for (const [maps, id] of [
    ['npy/tiny.npy', 'tiny'],
    ['maps/scene09.npz', 'scene09'],
  ] as const)
    for (const released of [false, true]) {
      const out = `colours-${id}-${released}`
      const args = ['crf', maps.split('/')[0] as string, '--photos', 'photos', '-o', out]
      const { status, stderr } = place.run(released ? [...args, '--released'] : args)
      assert.is(status, 0, stderr)
      const { keys, maps: values, width, height } = await readCams(place.path(maps))
      const size = width * height
      const background = Float32Array.from(
        { length: size },
        (_, i) => 1 - Math.max(...keys.map((_, k) => values[k * size + i] as number)),
      )
      const rgb = await sharp(place.path(`photos/${id}.png`))
        .removeAlpha()
        .raw()
        .toBuffer()
      const scores = Float32Array.from([...background, ...values])
      const { mask: labels } = await denseCrf({ rgb, width, height, scores, labels: keys.length + 1 }, { released })
      const expected = labels.map((label) => (label ? (keys[label - 1] as number) + 1 : 0))
      const mask = await maskOf(out, `masks/${id}.png`)
      const different = mask.filter((value, i) => value !== expected[i]).length
      assert.ok(different <= size / 1000, `${id}, released ${released}: ${different} of ${size} pixels differ`)
    }
  const [own, released] = [
    await maskOf('colours-scene09-false/masks/scene09.png'),
    await maskOf('colours-scene09-true/masks/scene09.png'),
  ]
  assert.ok(
    own.some((value, i) => value !== released[i]),
    'the released colours change nothing',
  )
})

test('crf turns a photo by its EXIF orientation, as segment does', async () => {
  mkdirSync(place.path('turned'))
  const upright = await sharp(place.path('scene09.png')).resize(320, 200, { fit: 'cover' }).toBuffer()
  await sharp(upright)
    .rotate(-90)
    .withMetadata({ orientation: 6 })
    .jpeg({ quality: 100 })
    .toFile(place.path('turned/scene09.jpg'))
  assert.is(place.run(['segment', 'turned', ...asked, '--crf', '-o', 'turned-maps']).status, 0)
  const { status, stderr } = place.run(['crf', 'turned-maps', '--photos', '.', '-o', 'turned-out'])
  assert.is(status, 0, stderr)
  const [file, whole] = [
    place.files('turned-maps').find((name) => /scene09\.png$/.test(name)) as string,
    'turned-out/masks/turned/scene09.png',
  ]
  const { width, height } = await sharp(place.path(whole)).metadata()
  assert.equal([width, height], [320, 200])
  const [expected, mask] = [await maskOf('turned-maps', file), await maskOf(whole)]
  assert.ok(mask.filter((value, i) => value !== expected[i]).length <= mask.length / 1000)
})

test('SIGINT ends with status 130 and only whole files, and a second run does the others', async () => {
  for (const folder of ['many', 'many-photos']) mkdirSync(place.path(folder))
  for (let i = 0; i < 40; i++) {
    copyFileSync(place.path('maps/scene09.npz'), place.path(`many/p${i}.npz`))
    copyFileSync(place.path('scene09.png'), place.path(`many-photos/p${i}.png`))
  }
  const args = ['crf', 'many', '--photos', 'many-photos', '-o', 'stopped']
  const { child, ended } = place.start(args)
  let lines = 0
  child.stdout?.on('data', (text: Buffer) => {
    const before = lines
    lines += text.toString().split('\n').length - 1
    if (before < 3 && lines >= 3) child.kill('SIGINT')
  })
  assert.is((await ended).status, 130)
  const made = place.files('stopped/masks')
  assert.ok(made.length >= 2 && made.length < 40, String(made.length))
  for (const name of made) assert.is((await maskOf('stopped/masks', name)).length, 320 * 240)
  const { status, stdout } = place.run(args)
  assert.is(status, 0)
  assert.match(stdout, new RegExp(`^${40 - made.length} photos to do, ${made.length} done before`))
  assert.is(place.files('stopped/masks').length, 40)
})

test.run()
