import multipart from '@fastify/multipart'
import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { problemOf, ServerError } from './errors.js'
import type { ServerOptions } from './options.js'
import { protocols } from './protocols/index.js'
import { classRoutes } from './routes/classes.js'
import { healthRoutes } from './routes/health.js'
import { imageRoutes } from './routes/images.js'
import { modelRoute } from './routes/model.js'
import { pageRoute } from './routes/page.js'
import { segmentRoute } from './routes/segment.js'
import { Service } from './service/service.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** What answers the requests of clip-es-server. */
    clipEs: Service
  }
}

/** Everything below concerns only the routes of this plugin, and none of the application that it is registered in. */
async function routes(app: FastifyInstance, { service }: { service: Service }): Promise<void> {
  const { limits } = service
  app.setErrorHandler((error, request, reply) => {
    const problem = problemOf(error, request.id)
    if (problem.status >= 500) request.log.error(error)
    if (problem.status === 503) {
      const seconds = error instanceof ServerError ? error.retryAfter : undefined
      reply.header('retry-after', seconds ?? service.queue.retryAfter)
    }
    return reply.code(problem.status).type('application/problem+json').send(problem)
  })
  app.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: limits.photoBytes }, (_, body, done) => done(null, body))
  await app.register(multipart, { limits: { fileSize: limits.photoBytes, fieldSize: limits.jsonBytes, fields: 100, files: 1 } })
  const options = { service }
  for (const route of [segmentRoute, imageRoutes, classRoutes, modelRoute])
    await app.register(route, { ...options, prefix: '/v1' })
  await app.register(healthRoutes, options)
  await app.register(pageRoute, options)
  for (const protocol of protocols) await app.register(protocol, options)
}

/**
 * The Fastify plugin: `await app.register(clipEs, { load: { model: 'ViT-B-16.pt' } })`. Adds the routes and the decorator `app.clipEs`. Closing the
 * application closes the segmenter that the plugin has loaded.
 */
export const clipEs = fastifyPlugin<ServerOptions>(
  async (app, options) => {
    const service = await Service.create(options)
    app.decorate('clipEs', service)
    app.addHook('onClose', () => service.close())
    await app.register(routes, { service, prefix: options.prefix ?? '' })
  },
  { name: 'clip-es-server', fastify: '5.x' },
)
