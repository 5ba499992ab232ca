import type { FastifyInstance } from 'fastify'
import type { Batches } from '../service/batches.js'
import type { Service } from '../service/service.js'
import { batchRoutes } from './batches.js'
import { classRoutes } from './classes.js'
import { imageRoutes } from './images.js'
import { modelRoute } from './model.js'
import { segmentRoute } from './segment.js'

export interface RestOptions {
  service: Service
  batches: Batches
}

/** The REST routes, under /v1. */
export async function restRoutes(app: FastifyInstance, { service, batches }: RestOptions): Promise<void> {
  // Handlers validate by the same schemas, after they have put query, form and body together. Their messages are the library's.
  app.setValidatorCompiler(() => () => true)
  app.setSerializerCompiler(() => (value) => JSON.stringify(value))
  for (const route of [segmentRoute, imageRoutes, classRoutes, modelRoute]) await app.register(route, { service })
  await app.register(batchRoutes, { service, batches })
}
