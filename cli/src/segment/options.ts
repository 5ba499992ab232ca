import type { Fusion } from 'clip-es'
import type { EngineOptions } from '../shared/engine_options.js'
import type { MapArguments } from '../shared/maps_option.js'

/** What the command line says; what it leaves out is absent. */
export interface SegmentArguments extends EngineOptions, MapArguments {
  classes?: string[]
  classFile?: string
  labels?: string[]
  labelThreshold?: number
  background?: string[]
  template?: string[]
  fusion?: Fusion
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
}
