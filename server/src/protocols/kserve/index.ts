import type { FastifyInstance } from 'fastify'
import type { ProtocolOptions } from '../options.js'

export async function kserveRoutes(_app: FastifyInstance, _options: ProtocolOptions): Promise<void> {}
