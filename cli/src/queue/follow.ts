import { Queue, QueueEvents } from 'bullmq'
import { unlessAborted } from 'clip-es/support'
import type { Redis } from 'ioredis'
import type { DatasetItem } from '../sources/dataset.js'
import { type Group, type JobData, type NewJob, newJob, type PhotoOutcome } from './jobs.js'
import { Ledgers } from './ledger.js'
import type { Report } from './reports.js'
import { hasRun, type Keys } from './runs.js'

/** Redis does not have the queue any more: it was restarted without its data, or somebody deleted it. */
export class QueueLost extends Error {}

/** Who wants to know what happens to the photos. `number` is a photo's place in the data set. */
export interface Listener {
  /** A photo is done or has failed. Called once for each photo, and again after `again`. */
  ended(number: number, item: DatasetItem, outcome: PhotoOutcome): void
  /** A photo that had failed will be done again. */
  again(number: number): void
}

export interface FollowOptions {
  redis: Redis
  keys: Keys
  /** The run's id. */
  run: string
  groups: Iterable<Group>
  /** How a photo's path is written in jobs. */
  pathOf(item: DatasetItem): string
  listener: Listener
  signal: AbortSignal
  /** Called about once a second: throws if somebody else has taken the run over. */
  check(): void
  /** Jobs in the queue that have not ended: more are added as they end. */
  lookAhead?: number
}

/** A job that has not ended. One that an earlier producer added may have other photos of the group than this one's. */
interface OpenJob extends Group {
  /** Those that were reported, by their place. */
  reported: Map<number, PhotoOutcome>
  failed: boolean
}

const defaultLookAhead = 1000
const batch = 100 // jobs in one call of Redis
const pause = 1000 // milliseconds between two looks at the queue, if nothing happens
const betweenAudits = 5000 // milliseconds

/** Puts groups of photos into a run's queue and follows them to their end. `lookAhead` bounds the memory, here and in Redis. */
export class Follower {
  readonly #queue: Queue<JobData>
  readonly #events: QueueEvents
  readonly #ledgers: Ledgers
  readonly #groups: Iterator<Group>
  readonly #open = new Map<string, OpenJob>()
  #unfinished = 0
  #exhausted = false
  #draining = false
  #audited = performance.now()
  #wake = (): void => undefined

  constructor(readonly options: FollowOptions) {
    const { redis, keys, run, groups } = options
    this.#queue = new Queue(run, { connection: redis, prefix: keys.prefix })
    this.#events = new QueueEvents(run, { connection: redis, prefix: keys.prefix })
    this.#ledgers = new Ledgers(redis, keys, run)
    this.#groups = groups[Symbol.iterator]()
    this.#queue.on('error', () => undefined) // redis.ts reports them
    this.#events.on('error', () => undefined)
    this.#events.on('progress', ({ jobId, data }) => this.#onProgress(jobId, data as unknown as Report))
    this.#events.on('completed', () => this.#wake())
    this.#events.on('failed', () => this.#wake())
  }

  /** The photo of a job that has not ended. */
  photo(job: string, place: number): DatasetItem | undefined {
    return this.#open.get(job)?.all[place]
  }

  /**
   * Photos that were not reported at the end are still to be done, or were done while Redis lost their job: the journal knows.
   * @returns false if an operator drains the run
   * @throws QueueLost, and the reason of the signal
   */
  async run(): Promise<boolean> {
    const { signal } = this.options
    for (;;) {
      if (await unlessAborted(signal, this.#step())) return !this.#draining || this.#exhausted // Redis may not answer
      await unlessAborted(signal, this.#sleep())
    }
  }

  async close(): Promise<void> {
    this.#wake()
    await Promise.all([this.#events.close(), this.#queue.close()].map((closed) => closed.catch(() => undefined)))
  }

  #sleep(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pause)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** True at the end. */
  async #step(): Promise<boolean> {
    const { redis, keys, run, check } = this.options
    check()
    if (!(await hasRun(redis, keys, run))) throw new QueueLost('Redis has lost the queue')
    this.#draining = (await redis.exists(keys.drain(run))) === 1
    if (!this.#draining) await this.#refill()
    while (await this.#collectCompleted()) if (!this.#draining) await this.#refill()
    await this.#collectFailed()
    if (performance.now() - this.#audited > betweenAudits) await this.#audit()
    return this.#unfinished === 0 && (this.#exhausted || this.#draining)
  }

  async #refill(): Promise<void> {
    const { lookAhead = defaultLookAhead, signal } = this.options
    while (!this.#exhausted && this.#unfinished < lookAhead && !signal.aborted) {
      const jobs: NewJob[] = []
      while (jobs.length < batch && this.#unfinished < lookAhead) {
        const next = this.#groups.next()
        this.#exhausted = next.done === true
        if (next.done) break
        jobs.push(this.#opened(next.value))
      }
      if (jobs.length) await this.#queue.addBulk(jobs)
    }
  }

  #opened(group: Group): NewJob {
    const { run, pathOf } = this.options
    const job = newJob(run, group, pathOf)
    this.#open.set(job.opts.jobId, { ...group, reported: new Map(), failed: false })
    this.#unfinished++
    return job
  }

  #onProgress(id: string, report: Report): void {
    const open = this.#open.get(id)
    if (open) for (const [place, outcome] of report) this.#report(open, place, outcome)
  }

  #report(open: OpenJob, place: number, outcome: PhotoOutcome): void {
    if (!open.left.includes(place) || open.reported.has(place)) return
    open.reported.set(place, outcome)
    this.options.listener.ended(open.first + place, open.all[place] as DatasetItem, outcome)
  }

  /** Reports jobs that are done and removes them. Jobs that an earlier producer added count as far as they are this one's. */
  async #collectCompleted(): Promise<boolean> {
    const ids = await this.#queue.getRanges(['completed'], 0, 499)
    for (let i = 0; i < ids.length; i += batch) await Promise.all(ids.slice(i, i + batch).map((id) => this.#complete(id)))
    return ids.length > 0
  }

  async #complete(id: string): Promise<void> {
    const open = this.#open.get(id)
    if (open) {
      if (open.failed) this.#reopen(open) // done again between two looks
      await this.#reportLedger(id, open)
      this.#forget(id)
    }
    await this.#queue.remove(id)
    await this.#ledgers.remove(id)
  }

  async #reportLedger(id: string, open: OpenJob): Promise<void> {
    for (const [place, outcome] of (await this.#ledgers.read(id)).outcomes) this.#report(open, place, outcome)
  }

  /** Failed jobs stay in the queue, so that an operator can have them done again. */
  async #collectFailed(): Promise<void> {
    const failed = new Set(await this.#queue.getRanges(['failed'], 0, -1))
    for (const id of failed) {
      const open = this.#open.get(id)
      if (open && !open.failed) await this.#fail(id, open)
    }
    for (const [id, open] of this.#open) if (open.failed && !failed.has(id)) this.#reopen(open)
  }

  async #fail(id: string, open: OpenJob): Promise<void> {
    await this.#reportLedger(id, open)
    const job = await this.#queue.getJob(id)
    for (const place of open.left) this.#report(open, place, { failed: job?.failedReason ?? 'its job failed' })
    open.failed = true
    this.#unfinished--
    // Only these can be done again: the others need no memory.
    const again = [...open.reported].filter(([, outcome]) => 'failed' in outcome).map(([place]) => place)
    const all: DatasetItem[] = []
    for (const place of again) all[place] = open.all[place] as DatasetItem
    const reported = new Map([...open.reported].filter(([place]) => again.includes(place)))
    Object.assign(open, { all, left: again, reported })
  }

  #reopen(open: OpenJob): void {
    for (const [place, outcome] of open.reported) {
      if (!('failed' in outcome)) continue
      open.reported.delete(place)
      this.options.listener.again(open.first + place)
    }
    open.failed = false
    this.#unfinished++
  }

  /** Forgets jobs that the queue does not have any more: drained, or lost. The journal knows which of their photos are done. */
  async #audit(): Promise<void> {
    const ids = [...this.#open.keys()]
    for (let i = 0; i < ids.length; i += batch) {
      const some = ids.slice(i, i + batch)
      const pipeline = this.options.redis.pipeline()
      for (const id of some) pipeline.exists(this.#queue.toKey(id))
      const found = (await pipeline.exec()) ?? []
      for (const [place, id] of some.entries()) if (found[place]?.[1] === 0) this.#forget(id)
    }
    this.#audited = performance.now()
  }

  #forget(id: string): void {
    if (this.#open.get(id)?.failed === false) this.#unfinished--
    this.#open.delete(id)
  }
}
