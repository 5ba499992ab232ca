import type { FastifyInstance } from 'fastify'
import type { Service } from '../service/service.js'

/** /health/live: the process answers. /health/ready: it wants requests. They need no API key. */
export async function healthRoutes(app: FastifyInstance, { service }: { service: Service }): Promise<void> {
  const route = (summary: string) => ({ schema: { tags: ['operation'], summary }, config: { public: true } })
  app.get('/health/live', route('Whether the process answers'), async () => ({ status: 'ok' }))
  app.get('/health/ready', route('Whether new requests are welcome: 200, else 503'), async (_, reply) =>
    service.ready ? { status: 'ok' } : reply.code(503).send({ status: 'closing' }),
  )
}
