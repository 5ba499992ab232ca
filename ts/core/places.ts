import { whenAborted } from './abort.js'

/** A number of places. Work waits until one is free, first come, first served. */
export class Places {
  #free: number
  readonly #waiting = new Set<() => void>()

  constructor(count: number) {
    this.#free = count
  }

  /** Rejects with the signal's reason if it aborts while the work waits, or as the work does. */
  async use<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted()
    if (this.#free > 0) this.#free--
    else await this.#turn(signal)
    try {
      return await work()
    } finally {
      const [next] = this.#waiting
      if (next) next()
      else this.#free++
    }
  }

  /** Resolves when a place is handed over. */
  async #turn(signal: AbortSignal | undefined): Promise<void> {
    let forget: (() => void) | undefined
    await new Promise<void>((resolve, reject) => {
      const take = () => {
        this.#waiting.delete(take)
        resolve()
      }
      this.#waiting.add(take)
      forget =
        signal &&
        whenAborted(signal, () => {
          if (this.#waiting.delete(take)) reject(signal.reason)
        })
    }).finally(() => forget?.())
  }
}
