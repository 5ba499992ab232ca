import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { invalid } from 'clip-es/support'
import fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify'
import { answerClientError } from './client_error.js'
import { ServerError } from './errors.js'
import { secure } from './guards/headers.js'
import { checkLoopbackHost } from './guards/origins.js'
import { defaultLimits, type LogLevel } from './limits.js'
import type { ServerOptions } from './options.js'
import { clipEs } from './plugin.js'
import { sendProblem } from './send_problem.js'
import type { Service } from './service/service.js'

/** Options of a server of its own. */
export interface ServeOptions extends ServerOptions {
  /** Default 127.0.0.1: only this machine. */
  host?: string
  /** Default 8080; 0 chooses a free one. */
  port?: number
  /** Answers without API keys although `host` can be reached from other machines. Default false. */
  open?: boolean
  /** PEM files, for https. */
  tls?: { cert: string; key: string }
  /** Believe the X-Forwarded-… headers: true behind one proxy, or the addresses of the proxies. Default false. */
  trustProxy?: boolean | string
  /** Where log lines go: a pino logger, or a level for JSON lines on standard error. Default: nowhere. */
  log?: FastifyBaseLogger | LogLevel
}

/** A server that answers. */
export interface RunningServer {
  /** Such as http://127.0.0.1:8080. */
  url: string
  app: FastifyInstance
  service: Service
  /** Ends running requests, then frees everything. `time`: milliseconds that they may take, default 30 000. */
  close(time?: number): Promise<void>
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))

function checkAccess({ host = '127.0.0.1', keys = [], keyFile, open }: ServeOptions): void {
  if (isLoopback(host) || keys.length || keyFile !== undefined || open) return
  throw invalid(
    `the host ${host} can be reached from other machines, and there are no API keys; give some by keyFile (--api-keys FILE), or say that ` +
      'everyone may use the server by open: true (--open)',
  )
}

function readPem(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (cause) {
    throw invalid(`the TLS file ${file} cannot be read (${(cause as Error).message}); give a PEM file`, { cause })
  }
}

function loggerOf(log: ServeOptions['log']): object {
  if (log === undefined) return { logger: false }
  if (typeof log !== 'string') return { loggerInstance: log }
  return { logger: { level: log, stream: process.stderr } }
}

/** For what is answered outside of the plugin: unknown paths, and requests that are not HTTP. */
function sendProblemSafely(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  secure(reply, false)
  sendProblem(error, request, reply)
}

function createApp(options: ServeOptions): FastifyInstance {
  const { tls, trustProxy = false, limits } = options
  const { uploadTime } = { ...defaultLimits, ...limits }
  const requestTimeout = uploadTime + 5000 // limits.uploadTime comes first, and has a better message
  const timeouts = { headersTimeout: uploadTime, requestTimeout, connectionsCheckingInterval: 5000 }
  return fastify({
    ...loggerOf(options.log),
    ...(tls ? { https: { ...timeouts, cert: readPem(tls.cert), key: readPem(tls.key) } } : { http: timeouts }),
    ...(trustProxy && { trustProxy, requestIdHeader: 'x-request-id' }),
    logController: new LogController({ disableRequestLogging: true }), // one line a request is enough: addRootRules()
    genReqId: () => crypto.randomUUID(),
    forceCloseConnections: 'idle',
    return503OnClosing: false, // drain() refuses what is refused, with our errors
    requestTimeout,
    frameworkErrors: sendProblemSafely,
    clientErrorHandler: answerClientError,
    pluginTimeout: 0, // a large model takes longer to load than Fastify lets plugins take
  }) as unknown as FastifyInstance
}

function addRootRules(app: FastifyInstance, { host = '127.0.0.1', trustProxy }: ServeOptions): void {
  if (isLoopback(host) && !trustProxy) app.addHook('onRequest', async (request) => checkLoopbackHost(request))
  app.setErrorHandler(sendProblemSafely)
  app.addHook('onResponse', async ({ method, url, ip, log }, { statusCode: status, elapsedTime }) => {
    log.info({ method, path: url.split('?')[0], status, ip, milliseconds: Math.round(elapsedTime) }, 'answered')
  })
  app.setNotFoundHandler((request) => {
    const message = `there is no ${request.method} ${request.url.split('?')[0]}`
    throw new ServerError(404, 'ERR_NOT_FOUND', message, 'GET /docs lists what there is')
  })
}

/** Starts a server with nothing but clip-es. @throws ERR_INVALID_ARG, the errors of Segmenter.load(), or what listening throws */
export async function serve(options: ServeOptions = {}): Promise<RunningServer> {
  checkAccess(options)
  const { host = '127.0.0.1', port = 8080 } = options
  const app = createApp(options)
  try {
    addRootRules(app, options)
    await app.register(clipEs, options)
    const url = await app.listen({ host, port })
    const close = async (time = 30_000) => {
      await app.clipEs.drain(time)
      await app.close()
    }
    return { url, app, service: app.clipEs, close }
  } catch (error) {
    await app.close()
    throw error
  }
}
