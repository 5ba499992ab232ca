import fastify, { type FastifyInstance } from 'fastify'
import type { ServerOptions } from './options.js'
import { clipEs } from './plugin.js'
import type { Service } from './service/service.js'

/** Options of a server of its own. */
export interface ServeOptions extends ServerOptions {
  /** Default 127.0.0.1: only this machine. */
  host?: string
  /** Default 8080; 0 chooses a free one. */
  port?: number
}

/** A server that answers. */
export interface RunningServer {
  /** Such as http://127.0.0.1:8080. */
  url: string
  app: FastifyInstance
  service: Service
  /** Ends running requests, then frees everything. */
  close(): Promise<void>
}

/** Starts a server with nothing but clip-es. */
export async function serve({ host = '127.0.0.1', port = 8080, ...options }: ServeOptions = {}): Promise<RunningServer> {
  const app = fastify({
    logger: false,
    forceCloseConnections: 'idle',
    requestTimeout: options.limits?.uploadTime ?? 30_000,
  })
  try {
    await app.register(clipEs, options)
    const url = await app.listen({ host, port })
    return { url, app, service: app.clipEs, close: () => app.close() }
  } catch (error) {
    await app.close()
    throw error
  }
}
