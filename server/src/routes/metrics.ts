import type { FastifyInstance } from 'fastify'
import type { Service } from '../service/service.js'

/** GET /metrics: for Prometheus. */
export async function metricsRoute(app: FastifyInstance, { service }: { service: Service }): Promise<void> {
  const { registry } = service.metrics
  app.get(
    '/metrics',
    { schema: { tags: ['operation'], summary: 'Metrics for Prometheus', response: { 200: { type: 'string' } } } },
    async (_, reply) => reply.type(registry.contentType).send(await registry.metrics()),
  )
}
