// Results to train from: photos a and b with their masks, in a folder that each test gets empty.
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import sharp from 'sharp'
import type { Test } from 'uvu'
import { Journal } from '../../cli/src/results/journal.js'
import { claimFolder, type Manifest, settingsHash } from '../../cli/src/results/manifest.js'
import { resultFile } from '../../cli/src/results/store.js'
import type { TrainOptions } from '../../cli/src/train/options.js'
import { encodeMask } from '../../ts/photos/mask_png.js'
import { temporaryFolder } from './support.js'

export const folder = temporaryFolder()
export const at = (...parts: string[]): string => join(folder, ...parts)
export const options: TrainOptions = {
  out: at('run'),
  preset: 'small',
  seed: 1,
  device: 'cpu',
  loaders: 1,
  overwrite: false,
  json: false,
}
export const classes = [{ name: 'cat' }, { name: 'dog', colour: '#ff0000' }]
export const settings = { set: 'folder', model: 'f', classes, ignoreBelow: 0, crf: true } as unknown as Manifest['settings']

export async function writeMask(file: string, width = 3, height = 2): Promise<void> {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, await encodeMask(new Uint8Array(width * height).fill(1), { width, height }))
}

export const picture = () => sharp({ create: { width: 3, height: 2, channels: 3, background: '#804020' } })

/** Results with photos a and b, as `dataset` leaves them. */
export async function makeResults(name: string, photos = ['a', 'b']): Promise<string> {
  const out = at(name)
  const journal = new Journal(out, '1-of-1')
  for (const id of photos) {
    const photo = at('photos', `${id}.png`)
    if (!existsSync(photo)) {
      mkdirSync(at('photos'), { recursive: true })
      await picture().png().toFile(photo)
    }
    journal.add({ id, photo, labels: [0], scores: [1], bytes: 1, modified: 1, settings: settingsHash(settings) })
    await writeMask(resultFile(out, 'mask', id))
  }
  journal.close()
  claimFolder(out, { format: 1, version: '1.0.0', model: '/m.pt', source: {}, settings }, true, () => undefined)
  return out
}

/** The folder of the results, of the running test. */
export let results = ''
export function prepare(tests: Test): void {
  tests.before.each(async () => {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder)
    results = await makeResults('results')
  })
}

export const sample = (id: string, more: object = {}) => ({
  ...{ name: id, photo: at('photos', `${id}.png`), mask: at('results/masks', `${id}.png`), confidence: null },
  ...more,
})
