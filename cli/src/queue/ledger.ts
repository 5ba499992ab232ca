import type { ChainableCommander, Redis } from 'ioredis'
import type { PhotoOutcome } from './jobs.js'
import type { Keys } from './runs.js'

/** What Redis knows of the photos of a job. */
export interface Ledger {
  /** By the photo's place in its group. */
  outcomes: Map<number, PhotoOutcome>
  /** How often photos were begun by workers that ended before the photo was done. */
  lost: Map<number, number>
}

const life = 7 * 24 * 3600 // seconds: for jobs that nobody ends

/**
 * The photos of a job, in a hash: `oN` is the outcome of photo N. `sN` counts how often it was begun; it is removed when the photo ends. So what is
 * left of a dead worker are the photos that it was working on.
 */
export class Ledgers {
  constructor(
    readonly redis: Redis,
    readonly keys: Keys,
    readonly run: string,
  ) {}

  #key(job: string): string {
    return this.keys.photos(this.run, job)
  }

  async read(job: string): Promise<Ledger> {
    const ledger: Ledger = { outcomes: new Map(), lost: new Map() }
    for (const [field, value] of Object.entries(await this.redis.hgetall(this.#key(job)))) {
      const photo = Number(field.slice(1))
      if (field.startsWith('o')) ledger.outcomes.set(photo, JSON.parse(value) as PhotoOutcome)
      else ledger.lost.set(photo, Number(value))
    }
    return ledger
  }

  /** Writes what becomes of the photos of a job. */
  writer(job: string): LedgerWriter {
    return new LedgerWriter(this.redis, this.#key(job))
  }

  /** Forgets failures, so that these photos are done again. Returns their number. */
  async forgiveFailures(job: string): Promise<number> {
    const { outcomes } = await this.read(job)
    const failed = [...outcomes].filter(([, outcome]) => 'failed' in outcome).map(([photo]) => photo)
    if (failed.length) await this.redis.hdel(this.#key(job), ...failed.flatMap((photo) => [`o${photo}`, `s${photo}`]))
    return failed.length
  }

  async remove(...jobs: string[]): Promise<void> {
    if (jobs.length) await this.redis.unlink(...jobs.map((job) => this.#key(job)))
  }
}

type Change = (pipeline: ChainableCommander) => void

/** What is said in one turn of the event loop travels together: the end of a photo with the beginning of the next. */
export class LedgerWriter {
  #waiting: Change[] = []
  #sending: Promise<void> | undefined

  constructor(
    readonly redis: Redis,
    readonly key: string,
  ) {}

  /**
   * Before a photo is begun. Resolves when Redis knows it.
   * @param lost how often it was begun before
   */
  begin(photo: number, lost: number): Promise<void> {
    return this.#add((pipeline) => pipeline.hset(this.key, `s${photo}`, lost + 1)) // not an increment: a lost connection can send it twice
  }

  /** After its files and its line of the journal are written. */
  end(photo: number, outcome: PhotoOutcome): Promise<void> {
    return this.#add((pipeline) => pipeline.hset(this.key, `o${photo}`, JSON.stringify(outcome)).hdel(this.key, `s${photo}`))
  }

  /** A photo was begun, and not done for a reason that is not the photo's. */
  giveUp(photo: number): Promise<void> {
    return this.#add((pipeline) => pipeline.hdel(this.key, `s${photo}`))
  }

  #add(change: Change): Promise<void> {
    this.#waiting.push(change)
    this.#sending ??= new Promise((resolve) => setImmediate(resolve)).then(() => this.#send())
    return this.#sending
  }

  async #send(): Promise<void> {
    const pipeline = this.redis.pipeline()
    for (const change of this.#waiting) change(pipeline)
    this.#waiting = []
    this.#sending = undefined
    for (const [error] of (await pipeline.expire(this.key, life).exec()) ?? []) if (error) throw error
  }
}
