/** What can go wrong, as programs test it: `error.code`. */
export type ErrorCode =
  | 'ERR_INVALID_ARG'
  | 'ERR_MODEL_READ'
  | 'ERR_MODEL_FORMAT'
  | 'ERR_LIBTORCH'
  | 'ERR_DEVICE_UNAVAILABLE'
  | 'ERR_OUT_OF_MEMORY'
  | 'ERR_QUEUE_FULL'
  | 'ERR_CLOSED'
  /** A file or folder could not be written. */
  | 'ERR_IO'
  /** A bug of this package; the message says how to report it. */
  | 'ERR_INTERNAL'

/** Every failure of this package but an abort, which rejects with `signal.reason`. The message says what was wrong, with the value, and what to do. */
export class ClipEsError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ClipEsError'
    this.code = code
  }
}

/** A wrong argument. */
export const invalid = (message: string, options?: ErrorOptions): ClipEsError =>
  new ClipEsError('ERR_INVALID_ARG', message, options)

/** Wraps an error of the add-on, which has only a code, and keeps it as the cause. Returns anything else unchanged. */
export function fromNative(error: unknown): unknown {
  const code = (error as { code?: unknown } | undefined)?.code
  const isOurs = typeof code === 'string' && code.startsWith('ERR_') && !(error instanceof ClipEsError)
  return isOurs ? new ClipEsError(code as ErrorCode, (error as Error).message, { cause: error }) : error
}
