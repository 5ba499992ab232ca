import type { EngineOptions } from '../shared/engine_options.js'

/** What the command line says; what it leaves out is absent. */
export interface ServeArguments extends EngineOptions {
  host: string
  port: number
  classFile?: string[]
}
