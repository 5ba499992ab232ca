// node tools/train_table/run.mjs [--work DIR] [--iterations N] [--seeds N] [--pictures N] [--tests N] [--threads N]
//
// Does the confidence-guided loss help? Draws pictures with ground truth, makes pseudo masks of them by the engine, trains the small network with
// and without the loss, and prints a table of mIoU on held-out scenes. Every step whose result is in the work folder is skipped, so the same
// command goes on after an interruption. It needs what tools/demo-model/run.sh and clip-es train need, and a built checkout (npm run build).
import { appendFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { heldOut, makeData } from './data.mjs'
import { keptPixels } from './pixels.mjs'
import { pseudoMasks, runOne, variants } from './runs.mjs'
import { miouTable, pixelTable } from './table.mjs'

const { values: given } = parseArgs({
  options: {
    work: { type: 'string', default: 'build-train-table' },
    pictures: { type: 'string', default: '1500' },
    tests: { type: 'string', default: '240' },
    iterations: { type: 'string', default: '1000' },
    batch: { type: 'string', default: '8' },
    crop: { type: 'string', default: '129' },
    scales: { type: 'string', default: '0.35,0.65' },
    rate: { type: 'string', default: '0.02' },
    test: { type: 'string', default: '0.5' },
    seeds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '1' },
  },
})

const work = resolve(given.work)
const settings = { ...given, iterations: Number(given.iterations) }
const say = (line) => {
  console.log(line)
  appendFileSync(join(work, 'log.txt'), `${new Date().toISOString()} ${line}\n`)
}

const classes = makeData(work, { pictures: Number(given.pictures), tests: Number(given.tests), threads: given.threads })
say(`${classes.length} classes: ${classes.join(', ')}`)
const pseudo = Object.fromEntries(heldOut.map((set) => [set, pseudoMasks(work, set)]))
const kept = await keptPixels(work)
say(`pseudo masks of the training: ${pseudoMasks(work, 'train').toFixed(1)} % mIoU\n\n${pixelTable(kept)}\n`)

const results = []
for (let seed = 1; seed <= Number(given.seeds); seed++)
  for (const variant of variants) {
    const result = runOne(work, variant, seed, settings)
    results.push(result)
    const mious = heldOut.map((set) => `${set} ${result.miou[set].toFixed(1)}`).join(', ')
    say(`${variant.name}, seed ${seed}: ${mious} % mIoU (trained in ${result.seconds.toFixed(0)} s)`)
    writeFileSync(join(work, 'table.md'), `${miouTable(pseudo, results)}\n\n${pixelTable(kept)}\n`)
  }
console.log(`\n${miouTable(pseudo, results)}\n\n${pixelTable(kept)}`)
