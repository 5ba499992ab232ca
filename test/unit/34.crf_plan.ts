// What clip-es crf plans to do before it reads maps, and what it prints.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { crfCommand } from '../../cli/src/crf/command.js'
import { describe } from '../../cli/src/crf/photo.js'
import { type CrfArguments, madeWith, planOf } from '../../cli/src/crf/plan.js'
import { scoresOf } from '../../cli/src/crf/refine.js'
import { Journal, photoState } from '../../cli/src/results/journal.js'
import type { Manifest } from '../../cli/src/results/manifest.js'
import { UsageError } from '../../cli/src/shared/usage.js'
import { encodeCams } from '../../ts/formats/cams.js'
import { reasonOf, temporaryFolder } from './support.js'

const folder = temporaryFolder()
function write(path: string, content: string | Uint8Array = ''): string {
  const file = join(folder, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content)
  return file
}
const signal = new AbortController().signal

async function refused(work: () => unknown, message: string): Promise<void> {
  const error = (await reasonOf((async () => work())())) as Error
  assert.ok(error instanceof UsageError, String(error))
  assert.is(error.message, message)
}

const crf = (...args: string[]): CrfArguments =>
  crfCommand()
    .exitOverride()
    .configureOutput({ writeErr() {} })
    .action(() => undefined)
    .parse(['maps', ...args], { from: 'user' })
    .opts()

test('a plan of crf has the maps, the photos, the settings with their defaults, and a manifest only for data sets', async () => {
  const maps = encodeCams([0], Float32Array.of(0.5), 1, 1)
  write('maps/a.npz', maps)
  write('maps/b/c.npz', maps)
  const photo = write('photos/a.jpg')
  const [of, out] = [join(folder, 'maps'), join(folder, 'refined')]
  const plan = planOf(of, crf('-o', out, '--photos', join(folder, 'photos')), signal)
  const defaults = {
    rounds: 10,
    positionSigma: 1,
    positionWeight: 3,
    bilateralPositionSigma: 67,
    bilateralColourSigma: 3,
    bilateralWeight: 4,
    released: false,
  }
  const { photo: photoFor, settings: hash, ...rest } = plan
  assert.equal(rest, {
    ...{ maps: of, ids: ['a', 'b/c'], outputs: ['mask'], colours: [], manifest: undefined },
    refine: { crf: defaults, backgroundPower: 1, ignoreBelow: 0, signal, orientation: 'obeyed' },
  })
  assert.match(hash, /^[0-9a-f]{16}$/)
  assert.is(photoFor('a'), photo)
  const { bytes, modified } = photoState(join(of, 'a.npz'))
  assert.is(madeWith(plan, 'a'), `${hash} ${bytes} ${modified}`)
  const changed = [
    '--rounds=5',
    '--position-sigma=2',
    '--position-weight=2',
    '--bilateral-position-sigma=2',
    '--bilateral-colour-sigma=2',
  ]
  const every = [...changed, '--bilateral-weight=2', '--released', '--ignore-below=0.5', '--background-power=2']
  const hashes = every.map((option) => planOf(of, crf('-o', out, option), signal).settings)
  assert.is(new Set([...hashes, hash]).size, every.length + 1)
  const other = planOf(of, crf('-o', out, '--confidence', '--class-file', 'voc', ...every), signal)
  assert.equal([other.outputs, other.colours.length], [['mask', 'confidence'], 20])
  assert.equal(other.refine, {
    ...{ backgroundPower: 2, ignoreBelow: 0.5, signal, orientation: 'obeyed' },
    crf: {
      rounds: 5,
      positionSigma: 2,
      positionWeight: 2,
      bilateralPositionSigma: 2,
      bilateralColourSigma: 2,
      bilateralWeight: 2,
      released: true,
    },
  })
})

test('maps of a data set keep its classes and photos, and are compared with the photo as it is stored', () => {
  const run = join(folder, 'run')
  write('run/cams/a.npz', encodeCams([0], Float32Array.of(0.5), 1, 1))
  const settings = {
    set: 'folder',
    classes: [{ name: 'cat', colour: '#ff0000' }, { name: 'dog' }],
    backgroundPower: 1,
    ignoreBelow: 0,
    crf: false,
  }
  const manifest = { format: 1, version: '1', model: 'm', source: {}, settings } as unknown as Manifest
  write('run/manifest.json', JSON.stringify(manifest))
  const journal = new Journal(run, '1-of-1')
  journal.add({ id: 'a', photo: '/photos/a.webp', labels: [0], bytes: 1, modified: 1, settings: 's' })
  journal.close()
  const plan = planOf(run, crf('-o', join(folder, 'refined'), '--background-power', '3'), signal)
  assert.equal([plan.maps, plan.photo('a'), plan.colours], [join(run, 'cams'), '/photos/a.webp', ['#ff0000', undefined]])
  assert.is(plan.refine.orientation, 'ignored')
  assert.equal(plan.manifest?.settings, { ...manifest.settings, backgroundPower: 3, ignoreBelow: 0, crf: plan.refine.crf })
  write('photos/a.jpg')
  const named = planOf(run, crf('-o', join(folder, 'refined'), '--photos', join(folder, 'photos')), signal)
  assert.is(named.photo('a'), join(folder, 'photos/a.jpg'))
  write('npy/x.npy')
  assert.is(planOf(join(folder, 'npy'), crf('-o', join(folder, 'refined')), signal).refine.orientation, 'ignored')
})

test('folders without maps, and one that would be replaced, are refused', async () => {
  mkdirSync(join(folder, 'nothing'))
  write('file')
  const plan =
    (name: string, out = 'refined') =>
    () =>
      planOf(join(folder, name), crf('-o', join(folder, out)), signal)
  await refused(plan('gone'), `crf: there is no folder ${folder}/gone; name one that segment or dataset filled with --cams`)
  await refused(plan('file'), `crf: there is no folder ${folder}/file; name one that segment or dataset filled with --cams`)
  await refused(plan('maps', 'maps'), `crf: the masks in ${folder}/maps would be replaced; choose another folder with --out`)
  await refused(plan('nothing'), `crf: there are no maps (.npz, .npy) in ${folder}/nothing`)
})

test('the score of background is (1 - the largest map) to the power', () => {
  const cams = { keys: [3, 1], maps: Float32Array.of(0.25, 0, 0.5, 0), width: 2, height: 1 }
  assert.equal([...scoresOf(cams, 1)], [0.5, 1, 0.25, 0, 0.5, 0])
  assert.equal([...scoresOf(cams, 2)].slice(0, 2), [0.25, 1])
})

test('a refined photo is a line with the number of its maps, and an object', () => {
  const figures = { ended: 1, total: 2, perSecond: 3, rate: '3.0/s', left: '1 s' }
  const event = describe({ item: 'a\n', summary: { maps: [4], ignored: 0.5 } })
  assert.is(event.text(figures), 'a\\n: 1 map, 50.0 % ignored (1/2, 3.0/s, 1 s left)')
  const json = { event: 'done', id: 'a\n', labels: [4], ignored: 0.5, ended: 1, total: 2, perSecond: 3 }
  assert.equal(event.json(figures), json)
  assert.equal(describe({ item: 'a', error: new Error('no') }).json(figures), { event: 'failed', id: 'a', message: 'no' })
})

test.run()
