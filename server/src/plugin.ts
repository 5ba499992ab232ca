import cors from '@fastify/cors'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { ApiKeys } from './guards/api_keys.js'
import { secure } from './guards/headers.js'
import { checkOrigin } from './guards/origins.js'
import type { ServerOptions } from './options.js'
import { protocols } from './protocols/index.js'
import { LabelStudioHost } from './protocols/label_studio/host.js'
import { Callbacks } from './remote/callbacks.js'
import { RemotePhotos } from './remote/photos.js'
import { readBody, readJson } from './request/body.js'
import { Call } from './request/call.js'
import { readForm } from './request/form.js'
import { healthRoutes } from './routes/health.js'
import { metricsRoute } from './routes/metrics.js'
import { describeRoutes, openApiRoutes } from './routes/openapi.js'
import { pageRoute } from './routes/page.js'
import { restRoutes } from './routes/rest.js'
import { sendProblem } from './send_problem.js'
import { Batches } from './service/batches.js'
import { Service } from './service/service.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** What answers the requests of clip-es-server. */
    clipEs: Service
  }
  interface FastifyContextConfig {
    /** A route that needs no API key. */
    public?: boolean
  }
}

interface Context {
  service: Service
  options: ServerOptions
  remote: RemotePhotos
  labelStudio?: LabelStudioHost
}

/** Bodies are read here, within limits: photos and unknown content as a Buffer, forms as an Upload, JSON as its value. */
function addParsers(app: FastifyInstance, { limits }: Service): void {
  app.removeAllContentTypeParsers() // of the application: they have limits of their own
  app.addContentTypeParser('*', async (request: FastifyRequest) => await readBody(request, limits.photoBytes))
  app.addContentTypeParser('application/json', async (request: FastifyRequest) => await readJson(request))
  app.addContentTypeParser('multipart/form-data', async (request: FastifyRequest) => await readForm(request))
}

function addGuards(app: FastifyInstance, { service, options }: Context): void {
  const origins = options.cors ?? []
  const keys = new ApiKeys(options.keys ?? [], options.keyFile, (error) => {
    if (error) app.log.error(`the API keys stay as they were: ${error.message}`)
    else app.log.info('the API keys were read again')
  })
  app.addHook('onClose', () => keys.close())
  app.addHook('onRequest', async (request, reply) => {
    Call.begin(request, reply, service)
    reply.header('x-request-id', request.id)
    checkOrigin(request, origins)
    if (keys.needed && !request.routeOptions.config.public) keys.check(request)
  })
  app.addHook('onSend', async (_, reply) => secure(reply, origins.length > 0))
}

function addReports(app: FastifyInstance, { service }: Context): void {
  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply, service.queue.retryAfter))
  app.addHook('onResponse', async (request, reply) => {
    service.metrics.request(request.method, request.routeOptions.url ?? 'unknown', reply.statusCode, reply.elapsedTime)
  })
}

/** Fetching photos is off unless hosts are given. */
function remoteOf(service: Service, options: ServerOptions): Pick<Context, 'remote' | 'labelStudio'> {
  const { remoteHosts, privateHosts = [], labelStudio: given } = options
  const labelStudio = given && new LabelStudioHost(given)
  const remote = new RemotePhotos({
    ...(remoteHosts && { remoteHosts }),
    privateHosts: [...privateHosts, ...(labelStudio ? [labelStudio.host] : [])],
    photoBytes: service.limits.photoBytes,
    time: service.limits.uploadTime,
  })
  return { remote, ...(labelStudio && { labelStudio }) }
}

async function batchesOf({ service, options, remote }: Context): Promise<Batches> {
  const { callbackHosts = [], privateCallbackHosts = [] } = options
  const { uploadTime: time, batches: most } = service.limits
  const callbacks = new Callbacks({ remoteHosts: callbackHosts, privateHosts: privateCallbackHosts, time })
  return await Batches.create(options.batches, service.segmenter, remote, callbacks, most)
}

/** Everything below concerns only the routes of this plugin, and none of the application that it is registered in. */
async function routes(app: FastifyInstance, context: Context): Promise<void> {
  const { service, options } = context
  addParsers(app, service)
  addReports(app, context)
  if (options.cors?.length) await app.register(cors, { origin: options.cors.includes('*') ? '*' : [...options.cors] })
  addGuards(app, context)
  await describeRoutes(app)
  const batches = await batchesOf(context)
  app.addHook('onClose', () => batches.close())
  await app.register(restRoutes, { service, batches, prefix: '/v1' })
  for (const route of [healthRoutes, metricsRoute, openApiRoutes]) await app.register(route, { service })
  if (options.page ?? true) await app.register(pageRoute)
  const { remote, labelStudio } = context
  for (const protocol of protocols) await app.register(protocol, { service, remote, ...(labelStudio && { labelStudio }) })
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
    await app.register(routes, { service, options, ...remoteOf(service, options), prefix: options.prefix ?? '' })
  },
  { name: 'clip-es-server', fastify: '5.x' },
)
