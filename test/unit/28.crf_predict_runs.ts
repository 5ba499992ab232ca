// Whole runs of crf and predict without native code: what the CRF and the network are asked, what is written, what is printed.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { settingsHash } from '../../cli/src/results/manifest.js'
import { encodeCams } from '../../ts/formats/cams.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { packageVersion } from '../../ts/support/index.js'
import { folder, read, run } from './engine_support.js'
import { fakeLibTorch } from './setup_support.js'

/** What the CRF was asked: the scores, and the settings. */
const asked: { scores: number[]; labels: number; threads: number; settings: object }[] = []

class Crf {
  constructor(readonly threads: number) {}
  async run(
    _: number,
    input: { scores: Float32Array; labels: number; width: number; height: number },
    settings: object,
    outputs: { mask: Uint8Array; confidence: Float32Array },
  ) {
    asked.push({ scores: [...input.scores], labels: input.labels, threads: this.threads, settings: { ...settings } })
    outputs.mask.fill(input.labels - 1)
    outputs.confidence.fill(0.5)
    outputs.confidence[0] = 0.25
  }
  cancel() {}
}
const addon = Object.assign(() => ({ Crf, usableCores: () => 3, isFirst: () => true }), { resolve: () => 'clip_es.node' })
const loader = require.resolve('node-gyp-build')
require(loader)
;(require.cache[loader] as NodeJS.Module).exports = addon

function write(path: string, content: string | Uint8Array, mode?: number): string {
  const file = join(folder, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content, { mode })
  return file
}
const cams = (value: number) => encodeCams([4], Float32Array.of(value, value, value), 3, 1)

test.before(async () => {
  for (const id of ['a', 'b'])
    write(
      `photos/${id}.png`,
      await sharp({ create: { width: 3, height: 1, channels: 3, background: 'red' } })
        .png()
        .toBuffer(),
    )
  write('maps/a.npz', cams(0.25))
  write('maps/b.npz', cams(0.75))
})

// ---------------------------------------------------------------- crf
const crf = (...args: string[]) => run(['crf', 'maps', '--photos', 'photos', '-o', 'refined', ...args])
const valuesOf = async (path: string) => [...(await readMask(join(folder, path))).data]

test('crf: the scores of maps and background, the settings, and masks with the numbers of the classes', async () => {
  const { lines, errors, status, concurrency } = await crf('--rounds', '7', '--ignore-below', '0.3', '--background-power', '2')
  assert.equal([errors, status, concurrency], [[], undefined, [1]])
  assert.is(lines[0], `2 photos to do; results in ${folder}/refined`)
  assert.match(lines[1] as string, /^a: 1 map, 33\.3 % ignored \(1\/2, /)
  assert.match(lines.at(-1) as string, /^2 photos done in /)
  asked.sort((a, b) => (a.scores[3] as number) - (b.scores[3] as number)) // several photos are in work at the same time
  assert.equal(
    asked.map(({ scores, labels }) => [scores, labels]),
    [0.25, 0.75].map((value) => [[...Array(3).fill((1 - value) ** 2), ...Array(3).fill(value)], 2]),
  )
  const settings = { rounds: 7, positionSigma: 1, positionWeight: 3, bilateralPositionSigma: 67, bilateralColourSigma: 3 }
  assert.equal(asked[0]?.settings, { ...settings, bilateralWeight: 4, released: false })
  assert.equal(await valuesOf('refined/masks/a.png'), [255, 5, 5])
  const entry = readFileSync(join(folder, 'refined/journal/crf.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .find(({ id }) => id === 'a')
  assert.equal([entry.id, entry.photo, entry.labels], ['a', join(folder, 'photos/a.png'), [4]])
  assert.equal(readdirSync(join(folder, 'refined/journal')), ['crf.jsonl'])
  assert.not(existsSync(join(folder, 'refined/manifest.json')))
})

test('crf: what is done is not done again, changed maps are, and other settings need --overwrite', async () => {
  const same = ['--rounds', '7', '--ignore-below', '0.3', '--background-power', '2']
  const first = async (...args: string[]) => (await crf(...args)).lines[0]
  const start = (left: number, before: string) =>
    `${left} photo${left === 1 ? '' : 's'} to do${before}; results in ${folder}/refined`
  assert.is(await first(...same), start(0, ', 2 done before'))
  rmSync(join(folder, 'refined/masks/a.png'))
  assert.is(await first(...same), start(1, ', 1 done before'))
  write('maps/b.npz', cams(0.5))
  utimesSync(join(folder, 'maps/b.npz'), 1, 1)
  assert.is(await first(...same), start(1, ', 1 done before'))
  assert.is(await first(...same, '--overwrite'), start(2, ''))
  const { failed } = await crf()
  assert.is(
    failed?.message.replace('(b)', '(a)'), // the one that was done first
    'crf: refined holds results of other maps or settings (a); choose another folder with --out, or replace them with --overwrite',
  )
  assert.is(await first('--overwrite'), start(2, ''))
  const { lines } = await crf('--json')
  assert.equal(lines.map((line) => ({ ...JSON.parse(line), seconds: 0 })), [{ event: 'end', done: 0, already: 2, failed: 0, seconds: 0 }]) // biome-ignore format: a table
})

test('crf: a photo of another size is a failure that names both, and the status is 1', async () => {
  write(
    'small/a.png',
    await sharp({ create: { width: 1, height: 3, channels: 3, background: 'red' } })
      .png()
      .toBuffer(),
  )
  const { errors, status, lines } = await run(['crf', 'maps', '--photos', 'small', '-o', 'other', '--json'])
  assert.equal([errors, status], [[], 1])
  const [a, b, end] = lines.map((line) => JSON.parse(line))
  assert.match(a.message, /^maps\/a\.npz has maps of 3 x 1; small\/a\.png is 1 x 3\. Width and height are swapped: /)
  assert.equal([b.event, b.id, end.failed], ['failed', 'b', 2])
  const wide = await sharp({ create: { width: 2, height: 3, channels: 3, background: 'red' } })
    .png()
    .toBuffer()
  write('small/a.png', wide)
  const again = await run(['crf', 'maps', '--photos', 'small', '-o', 'other'])
  assert.is(again.errors[0], 'clip-es: a: maps/a.npz has maps of 3 x 1; small/a.png is 2 x 3')
  assert.is(again.lines[0], `2 photos to do; results in ${folder}/other`, 'photos that failed are tried again')
})

test('crf: results of maps of a data set say how they were made', async () => {
  const settings = { set: 'folder', classes: [{ name: 'cat' }], backgroundPower: 1, ignoreBelow: 0, crf: false }
  write('set/manifest.json', JSON.stringify({ format: 1, version: '0', model: 'm', source: { kind: 'folder' }, settings }))
  write('set/cams/a.npz', cams(0.25))
  const { status } = await run(['crf', 'set', '--photos', 'photos', '-o', 'of set', '--confidence'])
  assert.is(status, undefined)
  const { settings: made, version, source } = read('of set/manifest.json')
  assert.equal([version, source, made.crf.rounds, made.classes], [packageVersion(), { kind: 'folder' }, 10, settings.classes])
  assert.equal(readdirSync(join(folder, 'of set')).sort(), ['confidence', 'journal', 'manifest.json', 'masks'])
})

// ---------------------------------------------------------------- predict
/** The program: background 1/4, the first class 3/4 everywhere; a third label that is hopeless. */
const program = () =>
  write(
    'program',
    `#!${process.execPath}
const fs = require('node:fs')
fs.copyFileSync(process.argv[3], ${JSON.stringify(join(folder, 'job.json'))})
const answer = (value) => process.stdout.write(JSON.stringify(value) + '\\n')
answer({ event: 'ready', classes: ['background', 'cat', 'dog'], network: 'small' })
let rest = Buffer.alloc(0)
process.stdin.on('data', (bytes) => {
  rest = Buffer.concat([rest, bytes])
  for (let end; (end = rest.indexOf('\\n')) >= 0; ) {
    const { id, width, height } = JSON.parse(rest.subarray(0, end))
    if (rest.length < end + 1 + 3 * width * height) return
    rest = rest.subarray(end + 1 + 3 * width * height)
    answer({ id, width, height, labels: 3 })
    process.stdout.write(Buffer.from(Float32Array.from([0.25, 0.75, 0].flatMap((p) => Array(width * height).fill(p))).buffer))
  }
})
`,
    0o755,
  )

const predict = (...args: string[]) => run(['predict', 'trained', ...args])

test('predict: the job of the program, the settings of the results, and a line for each photo', async () => {
  process.env.CLIP_ES_TRAIN_PROGRAM = program()
  process.env.CLIP_ES_LIBTORCH = fakeLibTorch(join(folder, 'torch')) // else Python is asked for its own
  const trained = (crfOfMasks: boolean | object) => {
    const settings = {
      classes: [{ name: 'cat' }, { name: 'dog' }],
      network: { name: 'small' },
      testing: { scales: [0.5, 1], flip: true },
    }
    write(
      'trained/manifest.json',
      JSON.stringify({ format: 1, version: '1', command: 'train', source: {}, settings: { ...settings, crf: crfOfMasks } }),
    )
  }
  trained(false)
  const weights = write('trained/best.safetensors', 'weights')
  write('photos/broken.png', 'broken')
  const { lines, errors, status, concurrency } = await predict(
    'photos',
    'gone.png',
    '-o',
    'masks',
    '--threads',
    '2',
    '--device',
    'cpu',
  )
  assert.equal([status, concurrency], [1, [1]])
  assert.equal(read('job.json'), { version: 1, weights, scales: [0.5, 1], flip: true, device: 'cpu', threads: 2 })
  assert.is(lines[0], `3 photos to do; results in ${folder}/masks`)
  assert.match(lines[1] as string, /^a: cat \(1\/3, /)
  assert.match(lines.at(-1) as string, /^2 photos done in .*, 2 failed: listed above$/)
  assert.is(errors[0], 'clip-es: gone.png: there is no such file or folder')
  assert.match(errors[1] as string, /^clip-es: broken: /)
  const { settings, ...manifest } = read('masks/manifest.json')
  assert.equal(manifest, { format: 1, version: packageVersion(), model: weights, source: { kind: 'photos', folder } })
  assert.equal(settings, {
    ...{ set: 'photos', model: '9a129038d9a00aed', classes: [{ name: 'cat' }, { name: 'dog' }], network: 'small' },
    ...{ scales: [0.5, 1], flip: true, crf: false, ignoreBelow: 0, knownLabels: false },
  })
  const journal = readFileSync(join(folder, 'masks/journal/1-of-1.jsonl'), 'utf8').trimEnd().split('\n')
  const entry = journal.map((line) => JSON.parse(line)).find(({ id }) => id === 'a')
  assert.equal([entry.id, entry.labels, entry.settings], ['a', [0], settingsHash(settings)])
  assert.equal(readdirSync(join(folder, 'masks')).sort(), ['journal', 'manifest.json', 'masks'])
  assert.equal(await valuesOf('masks/masks/a.png'), [1, 1, 1])
})

test('predict: flags replace what the run says; the CRF sees only labels that have a chance', async () => {
  rmSync(join(folder, 'photos/broken.png'))
  asked.length = 0
  const flags = ['--scales', '1', '--no-flip', '--crf', '--confidence', '--ignore-below', '0.3', '--threads', '2']
  const { status, lines } = await predict('photos', '-o', 'changed', '--json', ...flags)
  assert.is(status, undefined)
  assert.equal(lines.map((line) => JSON.parse(line).event), ['done', 'done', 'end']) // biome-ignore format: a table
  const { scales, flip, crf: made, ignoreBelow } = read('changed/manifest.json').settings
  assert.equal([scales, flip, made, ignoreBelow], [[1], false, true, 0.3])
  assert.equal(
    asked.map(({ labels, threads, scores }) => [labels, threads, scores]),
    Array(2).fill([2, 2, [0.25, 0.25, 0.25, 0.75, 0.75, 0.75]]),
  )
  assert.equal(await valuesOf('changed/masks/a.png'), [255, 1, 1])
  assert.equal(readdirSync(join(folder, 'changed/confidence')), ['a.png', 'b.png'])
  rmSync(join(folder, 'job.json'))
  const again = await predict('photos', '-o', 'changed', ...flags)
  assert.equal(again.lines[0], `0 photos to do, 2 done before; results in ${folder}/changed`)
  assert.not(existsSync(join(folder, 'job.json')), 'no program without a photo')
})

test('predict: the CRF of the masks that the run learned from, unless a flag says otherwise', async () => {
  const manifest = read('trained/manifest.json')
  const crfWith = async (of: boolean | object, ...flags: string[]) => {
    write('trained/manifest.json', JSON.stringify({ ...manifest, settings: { ...manifest.settings, crf: of } }))
    await predict('photos/a.png', '-o', 'of-run', '--overwrite', ...flags)
    return read('of-run/manifest.json').settings.crf
  }
  const own = { rounds: 2 }
  assert.equal([await crfWith(own), await crfWith(own, '--crf'), await crfWith(own, '--no-crf')], [own, own, false])
  assert.equal([await crfWith(false), await crfWith(false, '--crf'), await crfWith(true, '--crf')], [false, true, true])
})

test.run()
