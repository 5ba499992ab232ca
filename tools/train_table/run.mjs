// node tools/train_table/run.mjs [--work DIR] [--jobs N] [--iterations N] [--seeds N] …: see the options below
//
// Does the confidence-guided loss help? Draws pictures with ground truth, makes pseudo masks of them by the engine, trains the small network with
// and without the loss, and prints a table of mIoU on held-out scenes. With --initial-iterations, all runs begin from weights that were trained on
// pictures of other classes. Every step whose result is in the work folder is skipped, so the same command goes on after an interruption. It needs
// what tools/demo-model/run.sh and clip-es train need, and a built checkout (npm run build).
import { appendFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { heldOut, makeData } from './data.mjs'
import { keptPixels } from './pixels.mjs'
import { inParallel } from './processes.mjs'
import { initialWeights, pseudoMasks, runOne, variants } from './runs.mjs'
import { miouTable, pixelTable } from './table.mjs'

const { values: given } = parseArgs({
  options: {
    work: { type: 'string', default: 'build-train-table' },
    pictures: { type: 'string', default: '1500' },
    tests: { type: 'string', default: '120' },
    iterations: { type: 'string', default: '1500' },
    'initial-iterations': { type: 'string', default: '0' }, // of weights to begin from; 0: the network begins from nothing
    batch: { type: 'string', default: '4' },
    crop: { type: 'string', default: '73' },
    scales: { type: 'string', default: '0.2,0.3' },
    rate: { type: 'string', default: '0.05' },
    test: { type: 'string', default: '0.25' },
    seeds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '1' }, // runs at the same time
  },
})

const work = resolve(given.work)
const say = (line) => {
  console.log(line)
  appendFileSync(join(work, 'log.txt'), `${new Date().toISOString()} ${line}\n`)
}

const classes = await makeData(work, {
  pictures: Number(given.pictures),
  tests: Number(given.tests),
  threads: given.threads,
  withOther: Number(given['initial-iterations']) > 0,
})
say(`${classes.length} classes: ${classes.join(', ')}`)
const pseudo = {}
for (const set of heldOut) pseudo[set] = await pseudoMasks(work, set)
const kept = await keptPixels(work)
say(`pseudo masks of the training: ${(await pseudoMasks(work, 'train')).toFixed(1)} % mIoU\n\n${pixelTable(kept)}\n`)

const initialIterations = Number(given['initial-iterations'])
const initial = initialIterations > 0 ? await initialWeights(work, { ...given, initialIterations }) : undefined

const tasks = Array.from({ length: Number(given.seeds) }, (_, i) => variants.map((variant) => ({ variant, seed: i + 1 }))).flat()
const results = []
await inParallel(tasks, Number(given.jobs), async ({ variant, seed }) => {
  const result = await runOne(work, variant, seed, initial, given)
  results.push(result)
  const mious = heldOut.map((set) => `${set} ${result.miou[set].toFixed(1)}`).join(', ')
  say(`${variant.name}, seed ${seed}: ${mious} % mIoU (trained in ${result.seconds.toFixed(0)} s)`)
  writeFileSync(join(work, 'table.md'), `${miouTable(pseudo, results)}\n\n${pixelTable(kept)}\n`)
})
console.log(`\n${miouTable(pseudo, results)}\n\n${pixelTable(kept)}`)
