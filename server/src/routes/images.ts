import type { FastifyInstance } from 'fastify'
import { signalOf } from '../request/call.js'
import { questionSchema, type Schema } from '../request/schema.js'
import { jsonOf, uploadOf } from '../request/upload.js'
import type { StoredImage } from '../service/image_store.js'
import type { Service } from '../service/service.js'
import { jsonBody, photoBody, problemResponses, segmentResponses } from './schemas.js'
import { askedInTexts, readAsked, sendResult } from './segment.js'

interface WithId {
  Params: { id: string }
}

const params: Schema = { type: 'object', properties: { id: { type: 'string' } } }
const imageSchema: Schema = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    width: { type: 'integer' },
    height: { type: 'integer' },
    bytes: { type: 'integer', description: 'Memory that it takes' },
    expires: { type: 'string', format: 'date-time', description: 'When it goes if nobody uses it' },
  },
}
const described = (description: string, schema: Schema = imageSchema): Schema => ({
  description,
  content: { 'application/json': { schema } },
})
const tags = ['segment']

const inJson = ({ expires, ...image }: StoredImage) => ({ ...image, expires: new Date(expires).toISOString() })

/** /images: photos that are encoded once, for any number of words. */
export async function imageRoutes(app: FastifyInstance, { service }: { service: Service }): Promise<void> {
  const adding = {
    tags,
    summary: 'Encode a photo and keep it, so that new words cost milliseconds',
    body: photoBody({ type: 'object', properties: {} }),
    response: { 201: described('It is kept'), ...problemResponses },
  }
  app.post('/images', { schema: adding }, async (request, reply) => {
    const image = await service.addImage(uploadOf(request).photo, signalOf(request))
    const url = `${request.url.split('?')[0]}/${image.id}`
    return reply.code(201).header('location', url).send(inJson(image))
  })

  const segmenting = {
    tags,
    summary: 'A mask for a photo that is kept',
    params,
    querystring: questionSchema,
    body: jsonBody(questionSchema),
    response: { ...segmentResponses, ...problemResponses },
  }
  app.post<WithId>('/images/:id/segment', { schema: segmenting }, async (request, reply) => {
    const { question, answer } = readAsked(request, bodyOver(askedInTexts(service, request), jsonOf(request)), service)
    return await sendResult(
      service,
      reply,
      answer,
      await service.segmentImage(request.params.id, { ...question, signal: signalOf(request) }),
    )
  })

  const describing = {
    tags,
    summary: 'A photo that is kept',
    params,
    response: { 200: described('It is there'), ...problemResponses },
  }
  app.get<WithId>('/images/:id', { schema: describing }, async (request) => inJson(service.images.describe(request.params.id)))

  const deleting = {
    tags,
    summary: 'Let a photo go',
    params,
    response: { 204: { description: 'It is gone' }, ...problemResponses },
  }
  app.delete<WithId>('/images/:id', { schema: deleting }, async (request, reply) => {
    service.images.delete(request.params.id)
    return reply.code(204).send()
  })
}

/** A body's options win over those of the query. What is no object is left to validation. */
function bodyOver(query: Record<string, unknown>, body: unknown): unknown {
  return typeof body === 'object' && !Array.isArray(body) ? { ...query, ...body } : body
}
