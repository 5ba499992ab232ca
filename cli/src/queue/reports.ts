import type { Job } from 'bullmq'
import type { PhotoOutcome } from './jobs.js'

/** Photos of a job that have ended, as workers report them to the producer. */
export type Report = [place: number, outcome: PhotoOutcome][]

const pause = 500 // milliseconds between two reports

/** Tells the producer which photos of a job have ended, some at a time. It is for the progress bar: the ledger has all that counts. */
export class Reports {
  #waiting: Report = []
  #timer: NodeJS.Timeout | undefined

  constructor(readonly job: Pick<Job, 'updateProgress'>) {}

  add(place: number, outcome: PhotoOutcome): void {
    this.#waiting.push([place, outcome])
    this.#timer ??= setTimeout(() => this.#send().catch(() => undefined), pause) // the job may be another worker's by now
  }

  /** Sends the rest. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    if (this.#waiting.length) await this.#send()
  }

  async #send(): Promise<void> {
    this.#timer = undefined
    await this.job.updateProgress(this.#waiting.splice(0))
  }
}
