import swagger from '@fastify/swagger'
import { packageVersion } from 'clip-es/support'
import type { FastifyInstance } from 'fastify'
import { renderDocs } from './docs_page.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The description of this plugin's routes. An application may have one of its own, app.swagger(). */
    clipEsOpenApi(): object
  }
}

/** Collects the schemas of the routes that are registered after it. */
export async function describeRoutes(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    decorator: 'clipEsOpenApi' as 'swagger',
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'clip-es',
        description: 'Text-driven segmentation: a photo and words in, a pixel mask for each word out.',
        version: packageVersion(),
      },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer', description: 'If the server has API keys' } } },
      tags: [
        { name: 'segment', description: 'Masks for photos' },
        { name: 'batches', description: 'Many photos, computed by workers' },
        { name: 'classes', description: 'Class sets by name' },
        { name: 'tools', description: 'The protocols of other tools' },
        { name: 'operation', description: 'For those who run the server' },
      ],
    },
  })
}

/** GET /openapi.json, and a page of it for people at /docs. */
export async function openApiRoutes(app: FastifyInstance): Promise<void> {
  app.get('/openapi.json', { schema: { hide: true } as object }, async () => app.clipEsOpenApi())
  app.get('/docs', { schema: { hide: true } as object }, async (_, reply) => {
    const { html, policy } = renderDocs(app.clipEsOpenApi())
    return reply.type('text/html; charset=utf-8').header('content-security-policy', policy).send(html)
  })
}
