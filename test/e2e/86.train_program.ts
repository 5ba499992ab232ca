// `clip-es train` and `predict` with the real training program: a run that is killed, masks that do not fit, and what a network finds.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { missingParts } from '../../cli/src/train/build.js'
import { encodeMask, readMask } from '../../ts/photos/mask_png.js'
import { testIf } from '../test_if.js'
import { root, type Workplace } from './support.js'
import { trainPlace, validation } from './train_place.js'

const count = 4
const missing = missingParts()
const trainTest = testIf(!missing.length, `the real training program: this machine lacks ${missing.join('; ')}`)
const built = join(root, 'build-train/clip_es_train') // by the suite train; 84.training_docs.ts tests the build on the first use
const own = process.env.CLIP_ES_TRAIN_PROGRAM ?? (existsSync(built) ? built : undefined)
let place: Workplace
test.before(async () => {
  if (missing.length) return
  place = await trainPlace(count)
  if (own === undefined) delete process.env.CLIP_ES_TRAIN_PROGRAM
  else process.env.CLIP_ES_TRAIN_PROGRAM = own
})
test.after(() => place?.remove())

const args = (out: string, ...more: string[]) => [
  ...['train', 'masks', '-o', out, '--iterations', '12', '--checkpoint-every', '4', '--validate-every', '6'],
  ...['--batch', '2', '--crop', '65', '--scales', '0.2,0.3', '--threads', '1', ...validation, ...more],
]
const log = (run: string) => readFileSync(place.path(run, 'log.jsonl'), 'utf8')

trainTest('a run whose command and program are killed is continued with the same losses', async () => {
  const whole = place.run(args('whole'))
  assert.is(whole.status, 0, whole.stderr)
  const { child, ended } = place.start(args('killed', '--json'))
  child.stdout?.on('data', (text: Buffer) => {
    if (/"iteration":7,/.test(text.toString())) child.kill('SIGKILL')
  })
  assert.is((await ended).status, null)
  let again = place.run(args('killed'))
  // The program of the killed command ends at its next line, which nobody reads. Until then it is still there.
  for (let i = 0; i < 100 && /another training runs/.test(again.stderr); i++) again = place.run(args('killed'))
  assert.is(again.status, 0, again.stderr)
  assert.match(again.stdout, /\ncontinues at iteration \d+: /)
  assert.is(log('killed'), log('whole'))
  assert.ok(readFileSync(place.path('killed/best.safetensors')).equals(readFileSync(place.path('whole/best.safetensors'))))
})

trainTest('a mask with a value that is no class is named', async () => {
  const file = place.path('masks/masks/00/0002.png')
  const mask = readFileSync(file)
  const { width, height } = await readMask(mask)
  writeFileSync(file, await encodeMask(new Uint8Array(width * height).fill(200), { width, height }))
  const { status, stderr } = place.run(args('unknown'))
  writeFileSync(file, mask)
  assert.is(status, 1)
  assert.match(stderr, /mask .*masks\/00\/0002\.png has the label 200, expected labels below 73/)
})

trainTest('a network that saw four pictures often finds their objects, and its CRF masks have their size', async () => {
  const often = [
    '--iterations',
    '150',
    '--batch',
    '4',
    '--crop',
    '65',
    '--scales',
    '0.25,0.25',
    '--test-scales',
    '0.25',
    '--threads',
    '1',
  ]
  const trained = place.run(['train', 'masks', '-o', 'often', '--masks', 'demo/truth', '--confidence', 'off', ...often])
  assert.is(trained.status, 0, trained.stderr)
  const { status, stderr } = place.run([
    'predict',
    'often',
    'demo/photos',
    '--crf',
    '--confidence',
    '--threads',
    '1',
    '-o',
    'found',
  ])
  assert.is(status, 0, stderr)
  assert.is(place.run(['eval', 'found', '--truth', 'demo/truth']).status, 0)
  const { miou, images } = JSON.parse(readFileSync(place.path('found/eval.json'), 'utf8'))
  assert.is(images, count)
  assert.ok(miou > 0.5, `mIoU ${miou}`)
})

test.run()
