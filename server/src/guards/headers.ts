import type { FastifyReply } from 'fastify'

/** What no answer of this server needs: to be sniffed, framed, cached, or to run or load anything. Pages set their own policy. */
const headers: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
}

/** Adds the security headers that an answer does not have yet. `shared`: pages of other origins may read it. */
export function secure(reply: FastifyReply, shared: boolean): void {
  for (const [name, value] of Object.entries(headers)) if (!reply.hasHeader(name)) reply.header(name, value)
  if (!reply.hasHeader('cross-origin-resource-policy'))
    reply.header('cross-origin-resource-policy', shared ? 'cross-origin' : 'same-origin')
}
