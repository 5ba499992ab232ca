import type { Fusion } from 'clip-es'
import type { EngineOptions } from '../shared/engine_options.js'
import type { SourceOptions } from '../shared/source_options.js'

export interface PromptsOptions extends SourceOptions, EngineOptions {
  rank: 'templates' | 'synonyms' | 'fusions' | 'backgrounds'
  templates: string
  template?: string
  fusion?: Fusion
  background?: string[][]
  withBackground: boolean
  cache?: string
  plot?: string
  json: boolean
}
