import type { SourceOptions } from '../shared/source_options.js'

/** What the command line says; what it leaves out is absent, and the run's own setting is used. */
export interface PredictOptions extends SourceOptions {
  knownLabels: boolean
  out: string
  confidence: boolean
  weights?: string
  scales?: number[]
  flip?: boolean
  crf?: boolean
  ignoreBelow: number
  device: string
  threads?: number
  overwrite: boolean
  json: boolean
}
