import type { FastifyPluginAsync } from 'fastify'
import { cvatRoutes } from './cvat/index.js'
import { kserveRoutes } from './kserve/index.js'
import { labelStudioRoutes } from './label_studio/index.js'
import type { ProtocolOptions } from './options.js'

/** The protocols of other tools, each a folder here. All are registered under the same prefix as the REST routes. */
export const protocols: readonly FastifyPluginAsync<ProtocolOptions>[] = [kserveRoutes, labelStudioRoutes, cvatRoutes]
