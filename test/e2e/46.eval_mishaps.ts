// Mishaps of `clip-es eval`: pictures that are no masks, a truth without classes, values that are shifted, photos that are turned.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeMask, readMask } from '../../ts/photos/mask_png.js'
import { scenes, Workplace } from './support.js'

let place: Workplace
test.before.each(() => {
  place = new Workplace()
})
test.after.each(() => place.remove())

const scene = join(scenes, 'scene01.png')
const writeMap = async (path: string, values: number[], width: number) =>
  writeFileSync(place.path(path), await encodeMask(Uint8Array.from(values), { width, height: values.length / width }))

test('eval refuses ground truth in JPEG and asks for PNG', async () => {
  for (const folder of ['masks', 'truth']) mkdirSync(place.path(folder))
  await writeMap('masks/a.png', [0, 1, 1, 0], 2)
  await sharp(place.path('masks/a.png')).jpeg().toFile(place.path('truth/a.jpg'))
  const { status, stderr } = place.run(['eval', 'masks', '--truth', 'truth', '--class-file', 'emoji'])
  assert.is(status, 2)
  assert.match(stderr, /there is no truth\/a\.png; truth\/a\.jpg cannot be used, because JPEG changes .*: save the mask as PNG/)
})

const evaluate = (...more: string[]) => place.run(['eval', 'm', '--truth', 't', '--class-file', 'voc', ...more])
const folders = () => {
  for (const name of ['m', 't']) mkdirSync(place.path(name))
}

test('eval warns about a truth with only 0 and 255, and table, file and report name what was compared', async () => {
  folders()
  await writeMap('t/a.png', [0, 0, 255, 0, 0, 255], 3)
  await writeMap('m/a.png', [0, 0, 3, 0, 0, 0], 3)
  writeFileSync(place.path('list.txt'), 'a\n')
  const { status, stdout, stderr } = evaluate('--list', 'list.txt')
  assert.is(status, 0, stderr)
  assert.match(
    stderr,
    /warning: no picture of the truth has a class: its pixels are background \(0\) or ignored \(255, 33\.3 % of them\)/,
  )
  assert.match(stdout, /33\.33 % ignored by the truth\n/)
  assert.match(
    stdout,
    new RegExp(`\nResults: ${place.path('m')}\nTruth:   ${place.path('t')}\nPhotos:  ${place.path('list.txt')}\n`),
  )
  const figures = JSON.parse(readFileSync(place.path('m/eval.json'), 'utf8'))
  assert.equal([figures.results, figures.truth, figures.list], [place.path('m'), place.path('t'), place.path('list.txt')])
  assert.is(figures.truthIgnored, 1 / 3)
  assert.is(figures.warnings.length, 1)
  assert.is(place.run(['report', 'm']).status, 0)
  const page = readFileSync(place.path('m/report.html'), 'utf8')
  for (const text of [place.path('list.txt'), place.path('t'), 'no picture of the truth has a class', '33.3 % of the pixels'])
    assert.ok(page.includes(text), text)
  assert.match(evaluate().stdout, /\nPhotos: {2}every result\n/)
})

test('eval warns if all values are shifted by one, and not if they are wrong in another way', async () => {
  folders()
  const truth = [0, 1, 1, 2, 2, 2, 3, 3]
  await writeMap('t/a.png', truth, 4)
  const warningFor = async (change: (value: number) => number) => {
    await writeMap('m/a.png', truth.map(change), 4)
    return evaluate().stderr
  }
  assert.match(
    await warningFor((value) => (value ? value + 1 : 0)),
    /100\.0 % of the pixels have a value in the masks that is 1 higher/,
  )
  assert.match(await warningFor((value) => Math.max(0, value - 1)), /value in the masks that is 1 lower than in the truth/)
  assert.is(await warningFor((value) => value), '')
  assert.is(await warningFor((value) => (value ? 7 : 0)), '')
})

test("eval accepts only masks, and explains a truth that is turned by the photo's EXIF orientation", async () => {
  folders()
  copyFileSync(scene, place.path('a.png'))
  assert.is(place.run(['segment', 'a.png', '--classes', 'elephant,panda', '--overlay', '--confidence', '-o', 'm']).status, 0)
  const { data, width } = await readMask(readFileSync(place.path('m/a.png')))
  await writeMap('t/a.png', [...data], width)
  const { status, stderr, stdout } = evaluate()
  assert.is(status, 0, stderr)
  assert.match(stdout, /1 picture,/)
  await writeMap('t/a.png', [...data], data.length / width)
  assert.match(evaluate().stderr, /a\.png is 320 x 240, but its truth .* is 240 x 320\. Width and height are swapped: .*EXIF/)
})

test.run()
