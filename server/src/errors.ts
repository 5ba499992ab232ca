import { ClipEsError, type ErrorCode } from 'clip-es'

/** What can go wrong with a request in addition to the library's codes. */
export type ServerErrorCode =
  | 'ERR_BAD_REQUEST'
  | 'ERR_UNAUTHORIZED'
  | 'ERR_FORBIDDEN'
  | 'ERR_NOT_FOUND'
  | 'ERR_METHOD'
  | 'ERR_NOT_ACCEPTABLE'
  | 'ERR_TOO_LARGE'
  | 'ERR_MEDIA_TYPE'
  | 'ERR_UPLOAD_TIME'
  | 'ERR_REQUEST_TIME'
  | 'ERR_BUSY'
  /** Nobody sees it; it is what the work of a client that has left ends with. */
  | 'ERR_CLIENT_LEFT'

/** A request that is refused. */
export class ServerError extends Error {
  constructor(
    readonly status: number,
    readonly code: ServerErrorCode,
    message: string,
    /** What the caller can do. */
    readonly remedy?: string,
  ) {
    super(message)
    this.name = 'ServerError'
  }
}

/** The body of an answer that is an error: RFC 9457. */
export interface Problem {
  type: string
  title: string
  status: number
  detail: string
  code: ErrorCode | ServerErrorCode
  remedy?: string
  requestId: string
}

const statusOf: Readonly<Record<ErrorCode, number>> = {
  ERR_INVALID_ARG: 400,
  ERR_MODEL_READ: 500,
  ERR_MODEL_FORMAT: 500,
  ERR_LIBTORCH: 500,
  ERR_DEVICE_UNAVAILABLE: 503,
  ERR_OUT_OF_MEMORY: 503,
  ERR_QUEUE_FULL: 503,
  ERR_CLOSED: 503,
  ERR_IO: 500,
  ERR_INTERNAL: 500,
}

const titles: Readonly<Record<ErrorCode | ServerErrorCode, string>> = {
  ERR_INVALID_ARG: 'A value is wrong',
  ERR_MODEL_READ: 'The model cannot be read',
  ERR_MODEL_FORMAT: 'The model is damaged',
  ERR_LIBTORCH: 'LibTorch does not work',
  ERR_DEVICE_UNAVAILABLE: 'The device is not available',
  ERR_OUT_OF_MEMORY: 'There is not enough memory',
  ERR_QUEUE_FULL: 'Too many requests wait',
  ERR_CLOSED: 'The server is closing',
  ERR_IO: 'A file cannot be read or written',
  ERR_INTERNAL: 'The server has a bug',
  ERR_BAD_REQUEST: 'The request cannot be read',
  ERR_UNAUTHORIZED: 'An API key is needed',
  ERR_FORBIDDEN: 'This is not allowed',
  ERR_NOT_FOUND: 'There is nothing here',
  ERR_METHOD: 'The method does not fit',
  ERR_NOT_ACCEPTABLE: 'There is no such kind of answer',
  ERR_TOO_LARGE: 'The request is too large',
  ERR_MEDIA_TYPE: 'The kind of content is not read',
  ERR_UPLOAD_TIME: 'The upload took too long',
  ERR_REQUEST_TIME: 'The request took too long',
  ERR_BUSY: 'The server is busy',
  ERR_CLIENT_LEFT: 'The client has left',
}

const internal = {
  status: 500,
  code: 'ERR_INTERNAL',
  detail: 'an error that was not expected; the log of the server has it',
} as const

interface Told {
  status: number
  code: Problem['code']
  detail: string
  remedy?: string
}

/** Errors of Fastify and its plugins have a status code of their own. */
function ofFramework(error: { code?: string; statusCode?: number; message?: string }): Told | undefined {
  const { statusCode: status, message = '' } = error
  if (status === undefined || status < 400 || status >= 500) return undefined
  if (status === 404) return { status, code: 'ERR_NOT_FOUND', detail: message }
  if (status === 413) return { status, code: 'ERR_TOO_LARGE', detail: message }
  if (status === 415) return { status, code: 'ERR_MEDIA_TYPE', detail: message }
  return { status, code: 'ERR_BAD_REQUEST', detail: message }
}

function tell(error: unknown): Told {
  if (error instanceof ServerError)
    return { status: error.status, code: error.code, detail: error.message, ...(error.remedy && { remedy: error.remedy }) }
  if (error instanceof ClipEsError && error.code !== 'ERR_INTERNAL')
    return { status: statusOf[error.code], code: error.code, detail: error.message }
  return ofFramework((error ?? {}) as object) ?? internal
}

/** What the caller is told. What went wrong inside stays in the log. */
export function problemOf(error: unknown, requestId: string): Problem {
  const { status, code, detail, remedy } = tell(error)
  return { type: 'about:blank', title: titles[code], status, detail, code, ...(remedy && { remedy }), requestId }
}
