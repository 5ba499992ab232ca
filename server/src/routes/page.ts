import type { FastifyInstance } from 'fastify'
import type { Service } from '../service/service.js'

/** The page at /. There is none yet. */
export async function pageRoute(_app: FastifyInstance, _options: { service: Service }): Promise<void> {}
