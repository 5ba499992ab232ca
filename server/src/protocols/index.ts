import type { FastifyPluginAsync } from 'fastify'
import type { Service } from '../service/service.js'

/** The protocols of other tools, each a folder here. All are registered under the same prefix as the REST routes. */
export const protocols: readonly FastifyPluginAsync<{ service: Service }>[] = []
