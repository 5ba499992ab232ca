import type { FastifyReply } from 'fastify'
import { ServerError } from '../errors.js'

/** Aborts when the client leaves before it has its answer, or when `time` milliseconds are over. */
export function requestSignal(reply: FastifyReply, time: number): AbortSignal {
  const controller = new AbortController()
  const timer = setTimeout(() => {
    const message = `the request was not done within ${time / 1000} s`
    controller.abort(new ServerError(503, 'ERR_REQUEST_TIME', message, 'send it again when the server is less busy', 1))
  }, time)
  reply.raw.once('close', () => {
    clearTimeout(timer)
    if (!reply.raw.writableFinished) controller.abort(new ServerError(499, 'ERR_BAD_REQUEST', 'the client has left'))
  })
  return controller.signal
}
