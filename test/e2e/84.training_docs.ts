// The commands of docs/training.md: the examples with the real training program on a few pictures, those of VOC with a stand-in.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { missingParts } from '../../cli/src/train/build.js'
import { embeddedModel } from '../../ts/engine/model_path.js'
import { encodeMask } from '../../ts/photos/mask_png.js'
import { testIf } from '../test_if.js'
import { makeDemoSet } from './demo_set.js'
import { main, root, Workplace } from './support.js'
import { fakeProgram } from './train_place.js'

const page = readFileSync(`${root}/docs/training.md`, 'utf8')
const place = new Workplace()
test.after(() => place.remove())

test.before(async () => {
  mkdirSync(place.path('bin'))
  writeFileSync(place.path('bin/clip-es'), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`, { mode: 0o755 })
  await makeDemoSet(place.path('demo'), 4)
})

/** A command as it stands on the page, but for the number of iterations. */
function run(command: string, env: Record<string, string> = {}): void {
  const short = command
    .replaceAll(/--iterations \d+|(?<=--preset )voc/g, '$& --iterations 2 --batch 2 --crop 65')
    .replaceAll(/--iterations \d+ (?=--iter)/g, '')
  const path = `${place.path('bin')}:${process.env.PATH}`
  const { status, stderr } = spawnSync('bash', ['-c', short], {
    encoding: 'utf8',
    cwd: place.folder,
    env: place.env({ PATH: path, ...env }),
  })
  assert.is(status, 0, `${command}: ${stderr}`)
}

const examples = [...page.matchAll(/^\$ (clip-es .*)$/gm)].map(([, command]) => command as string)
const ofVoc = [...page.matchAll(/^ {4}(clip-es .*)$/gm)].map(([, command]) => command as string)

test('the page has commands of both kinds', () => {
  assert.is(examples.length, 7)
  assert.is(ofVoc.length, 4)
})

const missing = missingParts()
const trainTest = testIf(!missing.length, `training with the real program: this machine lacks ${missing.join('; ')}`)

trainTest('from photos with labels to a trained network, its masks, and a second network', () => {
  for (const command of examples) run(command)
  for (const file of [
    'run/report.html',
    'run/best.safetensors',
    'predicted/report.html',
    'coco/instances.json',
    'run2/best.safetensors',
  ])
    assert.ok(existsSync(place.path(file)), file)
  const losses = readFileSync(place.path('run/log.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.equal(
    losses.map(({ iteration }) => iteration),
    [1, 2],
  )
  assert.ok(losses.every(({ loss }) => loss > 0))
})

/** A VOC folder with two photos for each split. */
async function makeVoc(): Promise<void> {
  const folders = ['JPEGImages', 'SegmentationClass', 'Annotations', 'ImageSets/Segmentation']
  for (const folder of folders) mkdirSync(place.path('VOC2012', folder), { recursive: true })
  for (const [split, ids] of Object.entries({ train: ['a', 'b'], val: ['c', 'd'] })) {
    writeFileSync(place.path(`VOC2012/ImageSets/Segmentation/${split}.txt`), `${ids.join('\n')}\n`)
    for (const id of ids) {
      const photo = { create: { width: 64, height: 48, channels: 3 as const, background: { r: 9, g: 200, b: 90 } } }
      await sharp(photo)
        .jpeg()
        .toFile(place.path(`VOC2012/JPEGImages/${id}.jpg`))
      const truth = await encodeMask(new Uint8Array(64 * 48).fill(8), { width: 64, height: 48 })
      writeFileSync(place.path(`VOC2012/SegmentationClass/${id}.png`), truth)
      writeFileSync(place.path(`VOC2012/Annotations/${id}.xml`), '<annotation><object><name>cat</name></object></annotation>')
    }
  }
}

test('the commands for VOC, with a stand-in for the training program', async () => {
  await makeVoc()
  cpSync(embeddedModel(), place.path('ViT-B-16.pt'))
  writeFileSync(place.path('resnet101.pth'), '')
  for (const command of ofVoc) run(command, { CLIP_ES_TRAIN_PROGRAM: fakeProgram })
  const job = JSON.parse(readFileSync(place.path('voc-run/job.json'), 'utf8'))
  assert.equal([job.samples.length, job.validation.map(({ name }: { name: string }) => name)], [2, ['c', 'd']])
  assert.equal([job.training.iterations, job.network.weights], [2, place.path('resnet101.pth')])
})

test.run()
