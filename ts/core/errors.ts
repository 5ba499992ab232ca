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

// An object, so that the compiler sees when one is missing.
const codes: Readonly<Record<ErrorCode, true>> = {
  ERR_INVALID_ARG: true,
  ERR_MODEL_READ: true,
  ERR_MODEL_FORMAT: true,
  ERR_LIBTORCH: true,
  ERR_DEVICE_UNAVAILABLE: true,
  ERR_OUT_OF_MEMORY: true,
  ERR_QUEUE_FULL: true,
  ERR_CLOSED: true,
  ERR_IO: true,
  ERR_INTERNAL: true,
}

/**
 * The error of a job as callers see it. The add-on's errors have only a code, and are kept as the cause. Whatever else is thrown is a bug
 * of this package.
 */
export function fromNative(error: unknown): ClipEsError {
  if (error instanceof ClipEsError) return error
  const { code, message = String(error) } = (error ?? {}) as { code?: unknown; message?: string }
  if (typeof code === 'string' && Object.hasOwn(codes, code)) return new ClipEsError(code as ErrorCode, message, { cause: error })
  return new ClipEsError(
    'ERR_INTERNAL',
    `This is a bug in clip-es: ${message}; please report it with this message and the call that failed`,
    { cause: error },
  )
}
