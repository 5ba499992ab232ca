import type { TrainOptions } from './options.js'

export const networks = ['small', 'deeplabv2-resnet50', 'deeplabv2-resnet101'] as const
export type NetworkName = (typeof networks)[number]

/** What a pixel's confidence does: below the threshold it is left out, or the confidence is its weight in the loss, or nothing. */
export const confidenceModes = ['hard', 'soft', 'off'] as const
export type ConfidenceMode = (typeof confidenceModes)[number]

export interface Network {
  name: NetworkName
  /** Scales at which the network also sees a training picture (MSC). */
  msc: readonly number[]
  /** File of the weights to begin from; null begins from random ones. */
  weights: string | null
}

/** How the network learns: the training program's settings of the same names. */
export interface Training {
  iterations: number
  /** Pictures of a step, and steps whose gradients are added before the weights change. */
  batch: number
  accumulate: number
  learningRate: number
  /** Factors of the learning rate for the classifier's weights, and for its bias. */
  headFactor: number
  headBiasFactor: number
  momentum: number
  weightDecay: number
  /** The rate falls as (1 - iteration / iterations) ^ power. */
  power: number
  /** Side of the squares that are cut from the pictures, in pixels. */
  crop: number
  /** A picture is scaled by a factor between these. */
  scales: readonly [number, number]
  flip: boolean
  confidence: { mode: ConfidenceMode; threshold: number }
  /** Whether background and classes have the same weight in the loss. */
  balanced: boolean
  /** Largest norm of the gradients; null does not limit them. */
  clip: number | null
}

/** How `clip-es predict` uses the trained network. */
export interface Testing {
  scales: readonly number[]
  flip: boolean
}

/** Everything that a trained network depends on besides its pictures. */
export interface Settings {
  network: Network
  training: Training
  testing: Testing
  validateEvery: number
  checkpointEvery: number
  seed: number
}

interface Preset {
  network: Omit<Network, 'weights'>
  /** Which weights it begins from, for the message where none are named. Undefined: random ones. */
  begins?: string
  training: Training
  testing: Testing
}

/** The paper's for VOC, from ImageNet weights. */
const voc: Preset = {
  network: { name: 'deeplabv2-resnet101', msc: [0.5, 0.75] },
  begins: 'ImageNet weights',
  training: {
    ...{ iterations: 20000, batch: 5, accumulate: 2 },
    ...{ learningRate: 2e-4, headFactor: 10, headBiasFactor: 20, momentum: 0.9, weightDecay: 5e-4, power: 0.9 },
    ...{ crop: 321, scales: [0.5, 1.5], flip: true },
    ...{ confidence: { mode: 'hard', threshold: 0.95 }, balanced: false, clip: null },
  },
  testing: { scales: [0.5, 0.75, 1, 1.25, 1.5], flip: true },
}

/** The first is for small machines and pictures, and begins from nothing; the others are the paper's. */
export const presets = {
  small: {
    network: { name: 'small', msc: [] },
    training: {
      ...voc.training,
      ...{ iterations: 4000, batch: 8, accumulate: 1, crop: 161 },
      ...{ learningRate: 0.05, headFactor: 1, headBiasFactor: 1 },
      balanced: true, // from nothing, a network otherwise sees little but background for long
    },
    testing: { scales: [1], flip: true },
  },
  voc,
  'voc-coco-init': { ...voc, begins: 'weights that were trained on COCO', training: { ...voc.training, learningRate: 2.5e-5 } },
  coco: { ...voc, training: { ...voc.training, iterations: 100000 } },
} as const satisfies Record<string, Preset>
export type PresetName = keyof typeof presets
export const presetNames = Object.keys(presets) as PresetName[]

/** Validations and checkpoints of a run, where the command line does not say how often. */
const perRun = 40

/** The preset's settings with what the command line says otherwise. */
export function settingsOf(options: TrainOptions): Settings {
  const preset: Preset = presets[options.preset]
  const { training, testing } = preset
  const name = options.network ?? preset.network.name
  const iterations = options.iterations ?? training.iterations
  const often = Math.max(1, Math.ceil(iterations / perRun))
  return {
    network: {
      name,
      msc: options.msc ?? (name === preset.network.name ? preset.network.msc : []),
      weights: options.weights ?? null,
    },
    training: {
      iterations,
      batch: options.batch ?? training.batch,
      accumulate: options.accumulate ?? training.accumulate,
      learningRate: options.learningRate ?? training.learningRate,
      headFactor: options.headFactor ?? training.headFactor,
      headBiasFactor: options.headBiasFactor ?? training.headBiasFactor,
      momentum: options.momentum ?? training.momentum,
      weightDecay: options.weightDecay ?? training.weightDecay,
      power: options.power ?? training.power,
      crop: options.crop ?? training.crop,
      scales: options.scales ?? training.scales,
      flip: options.flip ?? training.flip,
      confidence: {
        mode: options.confidence ?? training.confidence.mode,
        threshold: options.threshold ?? training.confidence.threshold,
      },
      balanced: options.balanced ?? training.balanced,
      clip: options.clip ?? training.clip,
    },
    testing: { scales: options.testScales ?? testing.scales, flip: options.testFlip ?? testing.flip },
    validateEvery: options.validateEvery ?? often,
    checkpointEvery: options.checkpointEvery ?? often,
    seed: options.seed,
  }
}

/** The weights that a preset cannot do without, in words; undefined where it can, or has them. */
export function missingWeights({ preset, network, weights }: TrainOptions): string | undefined {
  if (weights !== undefined || network === 'small') return undefined
  return (presets[preset] as Preset).begins
}
