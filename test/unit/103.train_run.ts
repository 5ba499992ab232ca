// `clip-es train` in this process with a stand-in for its program: the job that it writes, what it prints, and how errors are told.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { UsageError } from '../../cli/src/shared/usage.js'
import type { TrainOptions } from '../../cli/src/train/options.js'
import { settingsOf } from '../../cli/src/train/presets.js'
import { train } from '../../cli/src/train/run.js'
import { packageVersion } from '../../ts/support/index.js'
import { root } from './support.js'
import { at, classes, options, prepare, results, sample, writeMask } from './train_results.js'

prepare(test)

/** Runs the command with a stand-in for the program: the lines that it prints, and the error that it ends with. */
async function run(more: Partial<TrainOptions> = {}, fault = 'none:0') {
  const { log } = console
  const lines: string[] = []
  const saved = { CLIP_ES_TRAIN_PROGRAM: process.env.CLIP_ES_TRAIN_PROGRAM, FAKE_TRAIN: process.env.FAKE_TRAIN }
  Object.assign(process.env, { CLIP_ES_TRAIN_PROGRAM: join(root, 'test/fake_train_program.cjs'), FAKE_TRAIN: fault })
  console.log = (line: string) => lines.push(line)
  try {
    const given = { ...options, iterations: 4, validateEvery: 2, checkpointEvery: 2, threads: 3, ...more }
    const error = await train(results, given).then(
      () => undefined,
      (reason: { code?: string; message: string }) => reason,
    )
    return { lines, error, given }
  } finally {
    console.log = log
    for (const [name, value] of Object.entries(saved)) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
}

test('a run: its job, its manifest, its lines, and no lock at the end', async () => {
  await writeMask(at('truth/a.png'))
  const validation = { validation: at('truth'), validationPhotos: at('photos') }
  const { lines, error, given } = await run({
    ...validation,
    confidence: 'off',
    seed: 5,
    loaders: 2,
    weights: join(root, 'README.md'),
  })
  assert.is(error, undefined)
  const { network, training, ...rest } = settingsOf(given)
  const { confidence: _, ...a } = sample('a', { mask: at('truth/a.png') })
  assert.equal(JSON.parse(readFileSync(at('run/job.json'), 'utf8')), {
    ...{
      version: 1,
      run: at('run'),
      classes: ['background', 'cat', 'dog'],
      samples: [sample('a'), sample('b')],
      validation: [a],
    },
    ...{
      network,
      training,
      every: { log: 1, checkpoint: 2, validation: 2 },
      pictures: 8,
      device: 'cpu',
      threads: 3,
      loaders: 2,
      seed: 5,
    },
  })
  assert.equal(JSON.parse(readFileSync(at('run/manifest.json'), 'utf8')), {
    ...{ format: 1, version: packageVersion(), command: 'train', source: { results, ...validation } },
    settings: { network, training, ...rest, classes, crf: true },
  })
  assert.equal(lines.slice(0, 2), [
    `2 pictures to learn from, validated with 1; the run is in ${at('run')}`,
    `1 validation photo also in ${results}: the network learns from what it is validated with`,
  ])
  assert.equal(lines.slice(-2), [
    `${at('run/best.safetensors')} has the weights of iteration 4, with a validation mIoU of 50.0 %`,
    `Report: ${at('run/report.html')}`,
  ])
  assert.not(existsSync(at('run/command.lock')))
  assert.match(readFileSync(at('run/report.html'), 'utf8'), 'Validation pictures at iteration 4')
  const again = await run({ json: true, overwrite: true })
  assert.equal(again.error, undefined)
  assert.equal(
    again.lines.map((line) => JSON.parse(line).event),
    ['start', ...[1, 2, 3, 4].flatMap((i) => ['iteration', ...(i % 2 ? [] : ['checkpoint'])]), 'end'],
  )
  const other = await run({ out: at('last'), confidence: 'off' })
  assert.equal(
    [other.lines[0], other.lines.at(-2)],
    [`2 pictures to learn from; the run is in ${at('last')}`, `${at('last/best.safetensors')} has the last weights`],
  )
  assert.equal(JSON.parse(readFileSync(at('last/job.json'), 'utf8')).network.weights, null)
})

test('an error of disk or memory says how far the run was, how it goes on, and what needs less', async () => {
  const told = async (fault: string, more: Partial<TrainOptions> = {}) => {
    const { error } = await run({ ...more, overwrite: true }, fault)
    assert.not(existsSync(at('run/command.lock')))
    return [error?.code, error?.message]
  }
  assert.equal(await told('disk:3'), [
    'ENOSPC',
    `no space left on device, write; iteration 2 of 4; run the same command again to continue ${at('run')}`,
  ])
  assert.equal(await told('nan:2'), ['ERR_INVALID_ARG', 'the loss of iteration 2 is NaN for the photos a, b'])
  for (const [batch, accumulate, crop, options] of [
    [2, 1, 161, '--batch 1 --accumulate 2'],
    [3, 2, 161, '--batch 2 --accumulate 3'],
    [5, 1, 161, '--batch 3 --accumulate 2'],
    [1, 4, 321, '--crop 225'],
    [1, 1, 17, '--crop 9'],
  ] as const)
    assert.equal(await told('memory:1', { batch, accumulate, crop }), [
      'ERR_OUT_OF_MEMORY',
      `memory ran out; this run has --batch ${batch} and --crop ${crop}. Begin again with ${options} --overwrite, which needs about half of the memory`,
    ])
})

test('options that do not fit together are refused before anything is written', async () => {
  const refused = async (more: Partial<TrainOptions>) => {
    const { error, lines } = await run(more)
    assert.equal([error instanceof UsageError, lines, existsSync(at('run'))], [true, [], false])
    return error?.message
  }
  const soft = (threshold: number) =>
    `train: --threshold is ${threshold}, and --confidence soft needs more than 0.5, where two labels are equally likely; use --confidence hard`
  assert.is(await refused({ confidence: 'soft', threshold: 0.5 }), soft(0.5))
  assert.is(await refused({ confidence: 'soft', threshold: 0 }), soft(0))
  assert.match((await refused({ confidence: 'soft', threshold: 0.51 })) as string, /has no confidences/)
  assert.match((await refused({ confidence: 'hard', threshold: 0.5 })) as string, /has no confidences/)
  assert.is(await refused({ validationPhotos: 'x' }), 'train: --validation-photos needs --validation')
  assert.is(await refused({ validationList: 'x' }), 'train: --validation-list needs --validation')
  assert.is(await refused({ validationList: 'x', validationPhotos: 'y' }), 'train: --validation-photos needs --validation')
  assert.is(
    await refused({ preset: 'voc' }),
    'train: the preset voc begins from ImageNet weights; name a .safetensors or .pth file with --weights, or use --network small',
  )
})

test.run()
