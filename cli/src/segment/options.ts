import type { Device, Fusion, Precision } from 'clip-es'

/** What the command line says; what it leaves out is absent. */
export interface SegmentArguments {
  classes?: string[]
  classFile?: string
  labels?: string[]
  labelThreshold?: number
  background?: string[]
  template?: string[]
  fusion?: Fusion
  model?: string
  out: string
  overlay?: true
  cams?: true
  confidence?: true
  json?: true
  refine: boolean
  crf?: boolean
  boxThreshold?: number
  backgroundPower?: number
  ignoreBelow?: number
  maxSide?: number
  threads?: number
  concurrency?: number
  device?: Device
  precision?: Precision
}
