import type { FastifyReply, FastifyRequest } from 'fastify'
import { problemOf } from './errors.js'

/** Answers a request by an error. @param retryAfter seconds, for answers that say "later" */
export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply, retryAfter = 1): FastifyReply {
  const problem = problemOf(error, request.id)
  const { status } = problem
  if (status >= 500 && status !== 503) request.log.error(error)
  if (status === 503) reply.header('retry-after', retryAfter)
  if (status === 401) reply.header('www-authenticate', 'Bearer')
  if (!request.raw.complete) reply.header('connection', 'close') // the rest of the body is not read
  return reply.code(status).type('application/problem+json').send(problem)
}
