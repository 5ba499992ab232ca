import type { Socket } from 'node:net'
import { problemOf, ServerError } from './errors.js'

/** Answers what is not HTTP, or came too slowly: there is no request yet, only a connection, which is closed. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const problem = problemOf(meaningOf(error), crypto.randomUUID())
  const body = JSON.stringify(problem)
  const head = [
    `HTTP/1.1 ${problem.status} ${problem.title}`,
    'content-type: application/problem+json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

function meaningOf({ code, message }: NodeJS.ErrnoException): ServerError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new ServerError(
      408,
      'ERR_UPLOAD_TIME',
      'the request had not arrived in time',
      'use a faster connection, or a smaller photo',
    )
  if (code === 'HPE_HEADER_OVERFLOW')
    return new ServerError(431, 'ERR_TOO_LARGE', 'the headers are too large', 'send long options in a form or a JSON body')
  return new ServerError(400, 'ERR_BAD_REQUEST', `it is not an HTTP request (${message})`, 'send HTTP/1.1')
}
