import type { Address } from '../queue/options.js'
import type { EngineOptions } from '../shared/engine_options.js'
import type { MapArguments } from '../shared/maps_option.js'
import type { SourceOptions } from '../shared/source_options.js'

export interface DatasetOptions extends SourceOptions, EngineOptions, MapArguments {
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
  /** URL of the Redis whose workers do the photos. */
  queue?: string
  name: string
  root?: string
  servePhotos?: Address
  detach: boolean
  overwrite: boolean
  json: boolean
}
