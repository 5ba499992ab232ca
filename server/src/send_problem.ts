import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Problem, problemOf } from './errors.js'

/** Prepares an answer that is an error: its status and headers, and the log. @param retryAfter seconds, for answers that say "later" */
export function prepareProblem(error: unknown, request: FastifyRequest, reply: FastifyReply, retryAfter = 1): Problem {
  const problem = problemOf(error, request.id)
  const { status } = problem
  if (status >= 500 && status !== 503) request.log.error(error)
  if (status === 503) reply.header('retry-after', retryAfter)
  if (status === 401) reply.header('www-authenticate', 'Bearer')
  if (!request.raw.complete) reply.header('connection', 'close') // the rest of the body is not read
  reply.code(status)
  return problem
}

/** Answers a request by an error, in the form of the REST routes. */
export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply, retryAfter?: number): FastifyReply {
  const problem = prepareProblem(error, request, reply, retryAfter)
  return reply.type('application/problem+json').send(problem)
}
