import type { Fusion } from 'clip-es'
import type { EngineOptions } from '../shared/engine_options.js'
import type { SourceOptions } from '../shared/source_options.js'
import type { Measure } from './rank.js'

export interface PromptsOptions extends SourceOptions, EngineOptions {
  rank: 'templates' | 'synonyms' | 'fusions' | 'backgrounds'
  by: Measure
  /** Instead of ranking. */
  thresholds?: true
  templates: string
  template?: string
  fusion?: Fusion
  background?: string[][]
  withBackground: boolean
  cache?: string
  plot?: string
  out?: string
  json: boolean
}
