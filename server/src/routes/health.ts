import type { FastifyInstance } from 'fastify'
import type { Service } from '../service/service.js'

/** /health/live: the process answers. /health/ready: it wants requests. */
export async function healthRoutes(app: FastifyInstance, { service }: { service: Service }): Promise<void> {
  app.get('/health/live', async () => ({ status: 'ok' }))
  app.get('/health/ready', async (_, reply) => (service.ready ? { status: 'ok' } : reply.code(503).send({ status: 'closing' })))
}
