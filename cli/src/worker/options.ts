import type { Device } from 'clip-es'
import type { Address, QueueOptions } from '../queue/options.js'

export interface WorkerOptions extends QueueOptions {
  root: string
  /** Files and folders of models. Empty: $CLIP_ES_MODEL, else the embedded model. */
  model: string[]
  device?: Device
  threads?: number
  concurrency?: number
  metrics?: Address
  /** Seconds after which a worker that does not answer has lost its job. */
  stalledAfter: number
  /** Ends when no run has had work for a while. */
  untilDone: boolean
}
