import { ClipEsError, type ErrorCode } from './errors.js'
import type { NativeSegmenter } from './native.js'

const closedError = () => new ClipEsError('ERR_CLOSED', 'the segmenter is closed; load another one')

/** An error of the add-on in this package's class. */
function translate(error: unknown, signal: AbortSignal | undefined): unknown {
  const code = (error as { code?: string } | undefined)?.code
  if (code === 'CANCELLED') return signal ? signal.reason : closedError()
  return code?.startsWith('ERR_') ? new ClipEsError(code as ErrorCode, (error as Error).message) : error
}

/** A segmenter's jobs: how many may wait, which to cancel, and that none begins after close(). */
export class Jobs {
  readonly native: NativeSegmenter
  readonly #maxQueue: number
  #pending = 0
  #nextId = 0
  #closing: Promise<void> | undefined
  readonly #spaceWaiters: (() => void)[] = []

  constructor(native: NativeSegmenter, maxQueue: number) {
    this.native = native
    this.#maxQueue = maxQueue
  }

  /** Starts a job and settles when native code is done with it. Rejects with ERR_CLOSED, ERR_QUEUE_FULL, the signal's reason, or what the job throws. */
  async run<T>(signal: AbortSignal | undefined, start: (native: NativeSegmenter, id: number) => Promise<T>): Promise<T> {
    signal?.throwIfAborted()
    if (this.#closing) throw closedError()
    if (this.#isFull())
      throw new ClipEsError(
        'ERR_QUEUE_FULL',
        `${this.#maxQueue} jobs wait already; await some results first, use segmentAll(), or raise maxQueue`,
      )
    const id = this.#takeId()
    const cancel = () => this.native.cancel(id)
    signal?.addEventListener('abort', cancel, { once: true })
    this.#pending++
    try {
      return await start(this.native, id)
    } catch (error) {
      throw translate(error, signal)
    } finally {
      this.#pending--
      signal?.removeEventListener('abort', cancel)
      this.#spaceWaiters.shift()?.()
    }
  }

  /** Resolves when a further job may be started. */
  async space(): Promise<void> {
    while (this.#isFull() && !this.#closing) await new Promise<void>((resume) => this.#spaceWaiters.push(resume))
  }

  /** Waiting jobs reject with ERR_CLOSED, the running one ends, then memory is given back. */
  close(): Promise<void> {
    this.#closing ??= this.native.close(this.#takeId())
    return this.#closing
  }

  #isFull(): boolean {
    return this.#pending > this.#maxQueue // one runs, maxQueue wait
  }

  #takeId(): number {
    this.#nextId = (this.#nextId + 1) % 2 ** 32
    return this.#nextId
  }
}
