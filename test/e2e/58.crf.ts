import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeLabels } from '../../ts/render/png.js'
import { scenes, Workplace } from './support.js'

const place = new Workplace()
const asked = ['--class-file', 'emoji', '--classes', 'giraffe,rabbit,frog', '--cams']

test.before(() => {
  for (const name of ['scene09', 'scene10']) copyFileSync(join(scenes, `${name}.png`), place.path(`${name}.png`))
  assert.is(place.run(['segment', 'scene09.png', 'scene10.png', ...asked, '-o', 'maps']).status, 0)
})
test.after(() => place.remove())

const maskOf = async (...parts: string[]): Promise<Uint8Array> => (await decodeLabels(readFileSync(place.path(...parts)))).data

const events = (stdout: string): Record<string, unknown>[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

test('crf makes of the maps of segment the masks that segment --crf makes', async () => {
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

test('crf goes on where it ended, and refuses to mix settings', () => {
  assert.match(place.run(['crf', 'maps', '-o', 'refined', '--confidence']).stdout, /^0 photos to do, 2 done before/)
  const mixed = place.run(['crf', 'maps', '-o', 'refined', '--rounds', '3'])
  assert.is(mixed.status, 2)
  assert.match(mixed.stderr, /holds results of other maps or settings/)
  const replaced = place.run(['crf', 'maps', '-o', 'refined', '--rounds', '3', '--overwrite', '--json'])
  assert.is(replaced.status, 0, replaced.stderr)
  assert.is(events(replaced.stdout).at(-1)?.done, 2)
})

test('one bad file is told and the others are done', () => {
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

test('a command line that cannot be meant ends with status 2 and the remedy', () => {
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
  assert.match(stderr, /scene10: there is no photo of that name in small; name the photos' folder with --photos/)
})

test.run()
