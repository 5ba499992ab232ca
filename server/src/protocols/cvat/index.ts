import type { FastifyInstance } from 'fastify'
import type { ProtocolOptions } from '../options.js'

export async function cvatRoutes(_app: FastifyInstance, _options: ProtocolOptions): Promise<void> {}
