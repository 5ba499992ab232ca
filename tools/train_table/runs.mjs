// The runs of the table: the same network, initial weights, pictures and settings; only the masks and what their confidence does differ. Small
// scales and few iterations keep a run within minutes. The loss is balanced in all runs: a network otherwise sees little but background for long.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { heldOut, masksOf, photosOf, truthOf } from './data.mjs'
import { clipEs, readJson } from './processes.mjs'

const hard = (threshold) => ['--confidence', 'hard', '--threshold', String(threshold)]

export const variants = [
  { name: 'no', title: 'all pixels', train: () => ['--confidence', 'off'] },
  ...[0.8, 0.9, 0.95].map((mu) => ({
    name: `hard-${mu}`,
    title: `pixels with a confidence of at least ${mu}`,
    train: () => hard(mu),
  })),
  { name: 'soft', title: 'weighed by confidence (soft, 0.95)', train: () => ['--confidence', 'soft', '--threshold', '0.95'] },
  {
    name: 'truth',
    title: 'ground truth instead of pseudo masks',
    train: (work) => ['--masks', truthOf(work, 'train'), '--confidence', 'off'],
  },
]

/** mIoU of results in percent. */
async function miouOf(results, truth) {
  if (!existsSync(join(results, 'eval.json'))) await clipEs(['eval', results, '--truth', truth])
  return 100 * readJson(join(results, 'eval.json')).miou
}

/** mIoU of the pseudo masks of a set. */
export const pseudoMasks = (work, set) => miouOf(masksOf(work, set), truthOf(work, set))

/** What all trainings have in common. */
const common = ({ batch, crop, scales, rate, test }, iterations, seed, threads) =>
  [
    ...['--iterations', iterations, '--checkpoint-every', iterations, '--batch', batch, '--crop', crop, '--scales', scales],
    ...['--learning-rate', rate, '--seed', seed, '--threads', threads, '--test-scales', test, '--balanced', '--device', 'cpu'],
  ].map(String)

/**
 * Trains the initial weights of all runs with the ground truth of scenes of other classes, as ImageNet's weights come from other pictures.
 * @returns their file
 */
export async function initialWeights(work, { initialIterations, jobs, ...options }) {
  const folder = join(work, 'runs/initial')
  const file = join(folder, 'best.safetensors')
  const threads = jobs * options.threads // nothing else runs yet
  if (!existsSync(file)) {
    const masks = ['--masks', truthOf(work, 'other'), '--confidence', 'off']
    await clipEs(['train', masksOf(work, 'other'), '-o', folder, ...common(options, initialIterations, 0, threads), ...masks])
  }
  return file
}

/**
 * Trains, and compares the masks of the held-out sets with the truth. A run that is finished is not repeated.
 * @returns mIoU by set, and the seconds of the training
 */
export async function runOne(work, variant, seed, initial, options) {
  const folder = join(work, 'runs', `${variant.name}-${seed}`)
  const figures = join(folder, 'figures.json')
  const { iterations, threads } = options
  const settings = [...common(options, iterations, seed, threads), ...(initial ? ['--weights', initial] : [])]
  if (existsSync(figures) && readJson(figures).settings === settings.join(' ')) return readJson(figures)
  const began = performance.now()
  await clipEs(['train', masksOf(work, 'train'), '-o', folder, ...settings, ...variant.train(work)])
  const seconds = (performance.now() - began) / 1000
  const miou = {}
  for (const set of heldOut) {
    const out = join(folder, set)
    await clipEs(['predict', folder, photosOf(work, set), '--no-crf', '--no-flip', '--threads', String(threads), '-o', out])
    miou[set] = await miouOf(out, truthOf(work, set))
  }
  const result = { variant: variant.name, seed, settings: settings.join(' '), seconds, miou }
  writeFileSync(figures, `${JSON.stringify(result)}\n`)
  return result
}
