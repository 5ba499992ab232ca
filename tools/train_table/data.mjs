// The pictures of the table: scenes of the demo model's world with their ground truth, and pseudo masks of them by the engine.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { clipEs, root, run } from './processes.mjs'

const everyNth = 6 // class of the embedded model: with all 72, a small network would need more pictures than a table of short runs allows

/**
 * Sets by name. The network learns from `train`; the next two are held out, one in styles that it saw and one in another style. `other` has the
 * classes that the table leaves out: with its ground truth the initial weights are trained.
 */
export const sets = {
  train: { styles: 'seen', seed: 101 },
  new: { styles: 'seen', seed: 202 },
  'held-out': { styles: 'held-out', seed: 303 },
  other: { styles: 'seen', seed: 404, otherClasses: true },
}

export const heldOut = ['new', 'held-out']

const classFile = (work, set) => join(work, sets[set].otherClasses ? 'other-classes.json' : 'classes.json')
export const photosOf = (work, set) => join(work, set, 'photos')
export const truthOf = (work, set) => join(work, set, 'truth')
export const masksOf = (work, set) => join(work, `${set}-masks`)

/** Draws the sets and makes their pseudo masks. What is there already stays. Returns the names of the table's classes. */
export async function makeData(work, { pictures, tests, threads, withOther }) {
  mkdirSync(work, { recursive: true })
  const file = JSON.parse(readFileSync(join(root, 'models/emoji-classes.json'), 'utf8'))
  const isChosen = (i) => i % everyNth === 0
  const chosen = file.classes.filter((_, i) => isChosen(i))
  const write = (set, classes) => writeFileSync(classFile(work, set), `${JSON.stringify({ ...file, classes }, null, 1)}\n`)
  write('train', chosen)
  write(
    'other',
    file.classes.filter((_, i) => !isChosen(i)),
  )
  for (const [set, { styles, seed }] of Object.entries(sets)) {
    if (sets[set].otherClasses && !withOther) continue
    const count = heldOut.includes(set) ? tests : pictures
    if (!existsSync(join(work, set, 'labels.csv'))) await drawSet(work, set, count, styles, seed)
    await makeMasks(work, set, threads)
  }
  return chosen.map(({ name }) => name)
}

const drawSet = (work, set, count, styles, seed) =>
  run('bash', [
    join(root, 'tools/demo-model/run.sh'),
    ...['--build', join(work, 'icons'), '--class-file', classFile(work, set)],
    ...['--set', join(work, set), '--count', String(count), '--styles', styles, '--seed', String(seed)],
  ])

/** A second call finds nothing to do. */
async function makeMasks(work, set, threads) {
  const source = [
    '--folder',
    photosOf(work, set),
    '--labels',
    join(work, set, 'labels.csv'),
    '--class-file',
    classFile(work, set),
  ]
  const how = ['--confidence', '--crf', '--precision', 'float32', '--threads', String(threads)]
  await clipEs(['dataset', ...source, ...how, '-o', masksOf(work, set)])
}
