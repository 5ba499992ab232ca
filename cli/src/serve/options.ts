import type { LogLevel, ServeOptions } from 'clip-es-server'
import type { EngineOptions } from '../shared/engine_options.js'

/** What the command line says; what it leaves out is absent. */
export interface ServeArguments extends EngineOptions {
  host: string
  port: number
  /** False with --no-page. */
  page: boolean
  classFile?: string[]
  apiKeys?: string
  open?: true
  cors?: string[]
  tlsCert?: string
  tlsKey?: string
  trustProxy?: true
  remoteHost?: string[]
  privateHost?: string[]
  labelStudio?: string
  batchQueue?: string
  batchName: string
  batchRoot?: string
  callbackHost?: string[]
  privateCallbackHost?: string[]
  log?: LogLevel
  queue?: number
  photoMegabytes?: number
  photoMegapixels?: number
  uploadMegabytes?: number
  storeMegabytes?: number
  storeSeconds?: number
  uploadSeconds?: number
  requestSeconds?: number
  closeSeconds: number
}

type Limits = NonNullable<ServeOptions['limits']>

const times = (value: number | undefined, unit: number): number | undefined => (value === undefined ? undefined : value * unit)

/** The limits that the command line names. */
export function limitsOf(given: ServeArguments): Partial<Limits> {
  const limits = {
    queue: given.queue,
    photoBytes: times(given.photoMegabytes, 2 ** 20),
    photoPixels: times(given.photoMegapixels, 1e6),
    uploadBytes: times(given.uploadMegabytes, 2 ** 20),
    storeBytes: times(given.storeMegabytes, 2 ** 20),
    storeTime: times(given.storeSeconds, 1000),
    uploadTime: times(given.uploadSeconds, 1000),
    requestTime: times(given.requestSeconds, 1000),
  }
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined))
}
