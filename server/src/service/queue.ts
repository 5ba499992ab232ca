import { ClipEsError } from 'clip-es'

interface Waiter {
  start(): void
  leave(reason: unknown): void
}

/** How fast work is done, for an honest Retry-After. */
class Rate {
  #perSecond = 0
  #last = 0

  /** Remembers that a piece of work is done. `busy`: whether the places were all taken. */
  count(now: number, busy: boolean): void {
    const seconds = (now - this.#last) / 1000
    this.#last = now
    if (!busy || seconds <= 0) return
    const current = 1 / seconds
    this.#perSecond = this.#perSecond ? 0.9 * this.#perSecond + 0.1 * current : current
  }

  get perSecond(): number {
    return this.#perSecond
  }
}

/**
 * A bounded queue: a number of places for work, and a number of requests that may wait for one, first come, first served. A request that
 * waits holds its encoded photo and nothing else; one that has a place also holds pixels and results.
 */
export class WorkQueue {
  readonly #places: number
  readonly #most: number
  #running = 0
  #rate = new Rate()
  readonly #waiting = new Set<Waiter>()

  constructor(places: number, most: number) {
    this.#places = places
    this.#most = most
  }

  get running(): number {
    return this.#running
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Photos a second while all places were taken; 0 before it is known. */
  get rate(): number {
    return this.#rate.perSecond
  }

  get isFull(): boolean {
    return this.#running >= this.#places && this.#waiting.size >= this.#most
  }

  /** Seconds after which a request that is refused now would find a place, from 1 to 120. */
  get retryAfter(): number {
    const rate = this.#rate.perSecond
    const seconds = rate ? this.#waiting.size / 2 / rate : 1
    return Math.min(120, Math.max(1, Math.ceil(seconds)))
  }

  /**
   * Runs work once there is a place. Rejects with ERR_QUEUE_FULL, with the signal's reason if it aborts while the work waits, or as the work does.
   * @param started is told how many milliseconds the work has waited
   */
  async run<T>(signal: AbortSignal, work: () => Promise<T>, started?: (waited: number) => void): Promise<T> {
    signal.throwIfAborted()
    if (this.isFull)
      throw new ClipEsError('ERR_QUEUE_FULL', `${this.#waiting.size} requests wait already; send this one again later`)
    const before = performance.now()
    if (this.#running < this.#places) this.#running++
    else await this.#turn(signal)
    try {
      started?.(performance.now() - before)
      return await work()
    } finally {
      this.#rate.count(performance.now(), this.#waiting.size > 0)
      const [next] = this.#waiting
      if (next) next.start()
      else this.#running--
    }
  }

  /** Resolves when a place is handed over. */
  async #turn(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const leave = () => waiter.leave(signal.reason)
      const forget = () => {
        signal.removeEventListener('abort', leave)
        this.#waiting.delete(waiter)
      }
      const waiter: Waiter = {
        start() {
          forget()
          resolve()
        },
        leave(reason) {
          forget()
          reject(reason)
        },
      }
      this.#waiting.add(waiter)
      signal.addEventListener('abort', leave, { once: true })
    })
  }
}
