import type { EngineOptions } from '../shared/engine_options.js'
import type { SourceOptions } from '../shared/source_options.js'

export interface DatasetOptions extends SourceOptions, EngineOptions {
  out: string
  template?: string
  background?: string[]
  boxThreshold?: number
  backgroundPower: number
  ignoreBelow: number
  refine: boolean
  crf: boolean
  confidence: boolean
  cams: boolean
  shard?: { part: number; of: number }
  overwrite: boolean
  json: boolean
}
