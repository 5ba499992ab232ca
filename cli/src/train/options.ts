import type { ConfidenceMode, NetworkName, PresetName } from './presets.js'

/** What the command line says; what it leaves out is absent, and the preset's value is used. */
export interface TrainOptions {
  out: string
  masks?: string
  validation?: string
  validationPhotos?: string
  validationList?: string
  preset: PresetName
  network?: NetworkName
  weights?: string
  msc?: number[]
  iterations?: number
  batch?: number
  accumulate?: number
  learningRate?: number
  headFactor?: number
  headBiasFactor?: number
  momentum?: number
  weightDecay?: number
  power?: number
  crop?: number
  scales?: [number, number]
  flip?: boolean
  confidence?: ConfidenceMode
  threshold?: number
  balanced?: boolean
  clip?: number
  testScales?: number[]
  testFlip?: boolean
  seed: number
  device: string
  threads?: number
  loaders: number
  validateEvery?: number
  checkpointEvery?: number
  overwrite: boolean
  json: boolean
}
