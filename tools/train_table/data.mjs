// The pictures of the table: scenes of the demo model's world with their ground truth, and pseudo masks of them by the engine.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { clipEs, root, run } from './processes.mjs'

const everyNth = 6 // class of the embedded model: with all 72, a small network would need more pictures than a table of short runs allows

/** Sets by name. The network learns from the first; the others are held out, one in styles that it saw and one in another style. */
export const sets = {
  train: { styles: 'seen', seed: 101 },
  new: { styles: 'seen', seed: 202 },
  'held-out': { styles: 'held-out', seed: 303 },
}

export const heldOut = ['new', 'held-out']

const classFile = (work) => join(work, 'classes.json')
export const photosOf = (work, set) => join(work, set, 'photos')
export const truthOf = (work, set) => join(work, set, 'truth')
export const masksOf = (work, set) => join(work, `${set}-masks`)

/** Draws the sets and makes their pseudo masks. What is there already stays. */
export async function makeData(work, { pictures, tests, threads }) {
  mkdirSync(work, { recursive: true })
  const file = JSON.parse(readFileSync(join(root, 'models/emoji-classes.json'), 'utf8'))
  file.classes = file.classes.filter((_, i) => i % everyNth === 0)
  writeFileSync(classFile(work), `${JSON.stringify(file, null, 1)}\n`)
  for (const [set, { styles, seed }] of Object.entries(sets)) {
    const count = set === 'train' ? pictures : tests
    if (!existsSync(join(work, set, 'labels.csv'))) await drawSet(work, set, count, styles, seed)
    await makeMasks(work, set, threads)
  }
  return file.classes.map(({ name }) => name)
}

const drawSet = (work, set, count, styles, seed) =>
  run('bash', [
    join(root, 'tools/demo-model/run.sh'),
    ...['--build', join(work, 'icons'), '--class-file', classFile(work)],
    ...['--set', join(work, set), '--count', String(count), '--styles', styles, '--seed', String(seed)],
  ])

/** A second call finds nothing to do. */
async function makeMasks(work, set, threads) {
  const source = ['--folder', photosOf(work, set), '--labels', join(work, set, 'labels.csv'), '--class-file', classFile(work)]
  const how = ['--confidence', '--crf', '--precision', 'float32', '--threads', String(threads)]
  await clipEs(['dataset', ...source, ...how, '-o', masksOf(work, set)])
}
