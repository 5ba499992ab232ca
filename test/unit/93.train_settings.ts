// What the presets of `clip-es train` mean, and what the command line changes.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { trainCommand } from '../../cli/src/train/command.js'
import type { TrainOptions } from '../../cli/src/train/options.js'
import { missingWeights, presets, settingsOf } from '../../cli/src/train/presets.js'

/** The options that a command line gives. */
function parse(...args: string[]): TrainOptions {
  const command = trainCommand()
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
  command.action(() => undefined)
  command.parse(['results', ...args], { from: 'user' })
  return command.opts()
}

test('voc, voc-coco-init and coco are the settings of the paper', () => {
  const { network, training, testing } = settingsOf(parse('--preset', 'voc', '--weights', 'w.pth'))
  assert.equal(network, { name: 'deeplabv2-resnet101', msc: [0.5, 0.75], weights: 'w.pth' })
  assert.equal(training, {
    ...{ iterations: 20000, batch: 5, accumulate: 2, learningRate: 2e-4, headFactor: 10, headBiasFactor: 20 },
    ...{ momentum: 0.9, weightDecay: 5e-4, power: 0.9, crop: 321, scales: [0.5, 1.5], flip: true },
    ...{ confidence: { mode: 'hard', threshold: 0.95 }, balanced: false, clip: null },
  })
  assert.equal(testing, { scales: [0.5, 0.75, 1, 1.25, 1.5], flip: true })
  assert.is(presets['voc-coco-init'].training.learningRate, 2.5e-5)
  assert.equal({ ...presets['voc-coco-init'].training, learningRate: 2e-4 }, training)
  assert.equal(presets.coco.training, { ...training, iterations: 100000 })
})

test('every setting of a preset can be replaced', () => {
  const given = parse(
    ...[
      '--preset',
      'voc',
      '--network',
      'deeplabv2-resnet50',
      '--msc',
      '0.5',
      '--iterations',
      '7',
      '--batch',
      '3',
      '--accumulate',
      '4',
    ],
    ...['--learning-rate', '0.1', '--head-factor', '1', '--head-bias-factor', '2', '--momentum', '0.5', '--weight-decay', '0'],
    ...[
      '--power',
      '1',
      '--crop',
      '65',
      '--scales',
      '1,2',
      '--no-flip',
      '--confidence',
      'soft',
      '--threshold',
      '0.9',
      '--balanced',
    ],
    ...[
      '--clip',
      '5',
      '--test-scales',
      '1,2',
      '--no-test-flip',
      '--validate-every',
      '2',
      '--checkpoint-every',
      '3',
      '--seed',
      '9',
    ],
  )
  assert.equal(settingsOf(given), {
    network: { name: 'deeplabv2-resnet50', msc: [0.5], weights: null },
    training: {
      ...{
        iterations: 7,
        batch: 3,
        accumulate: 4,
        learningRate: 0.1,
        headFactor: 1,
        headBiasFactor: 2,
        momentum: 0.5,
        weightDecay: 0,
      },
      ...{
        power: 1,
        crop: 65,
        scales: [1, 2],
        flip: false,
        confidence: { mode: 'soft', threshold: 0.9 },
        balanced: true,
        clip: 5,
      },
    },
    testing: { scales: [1, 2], flip: false },
    ...{ validateEvery: 2, checkpointEvery: 3, seed: 9 },
  })
})

test('a preset of the paper with another network leaves out its scales of training, and small ones begin from nothing', () => {
  const small = parse('--preset', 'voc', '--network', 'small')
  assert.equal(settingsOf(small).network, { name: 'small', msc: [], weights: null })
  assert.is(missingWeights(small), undefined)
  assert.is(missingWeights(parse()), undefined)
  assert.is(missingWeights(parse('--preset', 'voc')), 'ImageNet weights')
  assert.match(missingWeights(parse('--preset', 'voc-coco-init')) ?? '', /COCO/)
})

test('a run without options has the small preset, and is validated and saved 40 times', () => {
  const { training, ...rest } = settingsOf(parse())
  assert.equal(rest, {
    network: { name: 'small', msc: [], weights: null },
    testing: { scales: [1], flip: true },
    ...{ validateEvery: 100, checkpointEvery: 100, seed: 1 },
  })
  assert.equal(training, {
    ...{ iterations: 4000, batch: 8, accumulate: 1, learningRate: 0.05, headFactor: 1, headBiasFactor: 1, momentum: 0.9 },
    ...{ weightDecay: 5e-4, power: 0.9, crop: 161, scales: [0.5, 1.5], flip: true },
    ...{ confidence: { mode: 'hard', threshold: 0.95 }, balanced: true, clip: null },
  })
  for (const [iterations, every] of [
    [1, 1],
    [40, 1],
    [41, 2],
    [20000, 500],
  ] as const) {
    const { validateEvery, checkpointEvery } = settingsOf(parse('--iterations', String(iterations)))
    assert.equal([validateEvery, checkpointEvery], [every, every], String(iterations))
  }
  for (const name of ['voc', 'voc-coco-init', 'coco'] as const) {
    assert.equal([presets[name].network, presets[name].testing], [presets.voc.network, presets.voc.testing])
    assert.is(missingWeights(parse('--preset', name, '--weights', 'w.pth')), undefined)
    assert.is(missingWeights(parse('--preset', name, '--network', 'small')), undefined)
  }
  assert.equal(
    ['voc', 'voc-coco-init', 'coco'].map((name) => missingWeights(parse('--preset', name))),
    ['ImageNet weights', 'weights that were trained on COCO', 'ImageNet weights'],
  )
  assert.is(missingWeights(parse('--network', 'deeplabv2-resnet50')), undefined, 'the small preset begins from nothing')
})

test('what is on and off, and lists', () => {
  const of = (...args: string[]) => {
    const { training, testing, network } = settingsOf(parse(...args))
    return [training.flip, training.balanced, testing.flip, network.msc, testing.scales]
  }
  assert.equal(of('--flip', '--balanced', '--test-flip', '--preset', 'voc'), [
    true,
    true,
    true,
    [0.5, 0.75],
    [0.5, 0.75, 1, 1.25, 1.5],
  ])
  assert.equal(of('--no-flip', '--no-balanced', '--no-test-flip', '--msc', '0.5,2', '--test-scales', '1,2'), [
    ...[false, false, false],
    ...[
      [0.5, 2],
      [1, 2],
    ],
  ])
  assert.equal(of('--preset', 'voc', '--msc', 'none')[3], [])
  const { overwrite, json, out, ...rest } = parse('--overwrite', '--json', '-o', 'run')
  assert.equal([overwrite, json, out], [true, true, 'run'])
  assert.equal(rest, { preset: 'small', seed: 1, device: 'auto', loaders: 1 })
  const { overwrite: kept, json: text } = parse()
  assert.equal([kept, text], [false, false])
  assert.equal(parse('--scales', '1,1').scales, [1, 1])
  for (const [option, choices] of [
    ['--preset', 'small, voc, voc-coco-init, coco'],
    ['--network', 'small, deeplabv2-resnet50, deeplabv2-resnet101'],
    ['--confidence', 'hard, soft, off'],
  ] as const)
    assert.throws(() => parse(option, 'x'), `Allowed choices are ${choices}.`)
  for (const wrong of ['1', '1,2,3', '2,1', 'none'])
    assert.throws(() => parse('--scales', wrong), 'Expected two scales separated by a comma, the smaller one first.')
})

test('numbers outside of their ranges are refused', () => {
  for (const args of [
    ['--scales', '1.5,0.5'],
    ['--scales', '1'],
    ['--threshold', '1.5'],
    ['--iterations', '0'],
    ['--batch', 'many'],
    ['--crop', '3'],
    ['--network', 'resnet'],
    ['--device', 'gpu'],
    ['--test-scales', 'none'],
  ])
    assert.throws(() => parse(...args), /Expected|Allowed/, args.join(' '))
})

test.run()
