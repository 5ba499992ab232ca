import { whenAborted } from '../core/abort.js'
import { ClipEsError, fromNative } from '../core/errors.js'
import type { NativeSegmenter } from './native.js'

const closedError = () => new ClipEsError('ERR_CLOSED', 'the segmenter is closed; load another one')

/** An error of the add-on in this package's class. */
function translate(error: unknown, signal: AbortSignal | undefined): unknown {
  const code = (error as { code?: string } | undefined)?.code
  if (code === 'CANCELLED') return signal ? signal.reason : closedError()
  return fromNative(error)
}

/** What runs jobs: native threads with their queue. */
interface Cancellable {
  cancel(id: number): void
  close?(id: number): Promise<void>
}

/** What a call does while as many jobs wait as may. */
export type WhenFull = 'reject' | 'wait'

/** A segmenter's jobs: how many may wait, which to cancel, and that none begins after close(). */
export class Jobs<Native extends Cancellable = NativeSegmenter> {
  readonly native: Native
  readonly #maxQueue: number
  readonly #running: number
  readonly #whenFull: string
  #pending = 0
  #nextId = 0
  #closing: Promise<void> | undefined
  readonly #waiters = new Set<() => void>()
  /**
   * @param running how many jobs native code does at a time
   * @param whenFull the error when the queue is full, behind the number of jobs
   */
  constructor(
    native: Native,
    maxQueue: number,
    running = 1,
    whenFull = 'jobs wait already; await some results first, use segmentAll(), or raise maxQueue',
  ) {
    this.native = native
    this.#maxQueue = maxQueue
    this.#running = running
    this.#whenFull = whenFull
  }

  /**
   * Starts a job, with `whenFull` 'wait' once there is a place, and settles when native code is done with it.
   * Rejects with ERR_CLOSED, ERR_QUEUE_FULL, the signal's reason, or what the job throws.
   */
  async run<T>(
    signal: AbortSignal | undefined,
    start: (native: Native, id: number) => Promise<T>,
    whenFull: WhenFull = 'reject',
  ): Promise<T> {
    if (whenFull === 'wait') while (this.#isFull() && !this.#closing && !signal?.aborted) await this.#change(signal)
    // From here to the job's start nothing is awaited, so that a free place cannot be taken by another call.
    this.check(signal)
    if (this.#isFull()) throw new ClipEsError('ERR_QUEUE_FULL', `${this.#maxQueue} ${this.#whenFull}`)
    const id = this.#takeId()
    const forget = signal && whenAborted(signal, () => this.native.cancel(id))
    this.#pending++
    try {
      return await start(this.native, id)
    } catch (error) {
      throw translate(error, signal)
    } finally {
      this.#pending--
      forget?.()
      for (const wake of this.#waiters) wake()
    }
  }

  /** Throws the signal's reason if it has aborted, or ERR_CLOSED. */
  check(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted()
    if (this.#closing) throw closedError()
  }

  /** Resolves when a job ends or the signal aborts. */
  async #change(signal: AbortSignal | undefined): Promise<void> {
    let wake = () => {}
    const woken = new Promise<void>((resolve) => {
      wake = resolve
    })
    this.#waiters.add(wake)
    const forget = signal && whenAborted(signal, wake)
    await woken
    this.#waiters.delete(wake)
    forget?.()
  }

  /** Waiting jobs reject with ERR_CLOSED, the running one ends, then memory is given back. */
  close(): Promise<void> {
    this.#closing ??= this.native.close?.(this.#takeId()) ?? Promise.resolve()
    return this.#closing
  }

  #isFull(): boolean {
    return this.#pending >= this.#running + this.#maxQueue
  }

  #takeId(): number {
    this.#nextId = (this.#nextId + 1) % 2 ** 32
    return this.#nextId
  }
}
