import type { FastifyRequest } from 'fastify'
import { ServerError } from '../errors.js'

/**
 * Refuses what pages of other sites send by a user's browser: such a request needs no CORS to do its work, only to see the answer.
 * @param allowed origins that CORS allows
 * @throws ERR_FORBIDDEN
 */
export function checkOrigin({ method, headers, protocol, host }: FastifyRequest, allowed: readonly string[]): void {
  const { origin, 'sec-fetch-site': site, 'sec-fetch-mode': mode } = headers
  if (method === 'GET' && mode === 'navigate') return // a link to the page: the user sees the answer, the other site does not
  const own = origin === undefined || origin === `${protocol}://${host}` || allowed.includes(origin) || allowed.includes('*')
  if (own && (site !== 'cross-site' || origin !== undefined)) return
  throw new ServerError(
    403,
    'ERR_FORBIDDEN',
    `the request comes from a page of ${origin ?? 'another site'}`,
    'allow this origin by the option cors (clip-es serve --cors ORIGIN)',
  )
}

const loopback = /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/i

/**
 * Refuses requests for another name than this machine's own. A page can make its name point to 127.0.0.1 ("DNS rebinding"), and would then be
 * of the same origin.
 * @throws ERR_FORBIDDEN
 */
export function checkLoopbackHost({ host }: FastifyRequest): void {
  if (loopback.test(host)) return
  throw new ServerError(
    403,
    'ERR_FORBIDDEN',
    `the request is for the host '${host}', but this server listens on this machine only`,
    'use http://127.0.0.1 or http://localhost; behind a proxy, start the server with trustProxy (--trust-proxy)',
  )
}
