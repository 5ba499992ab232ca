import { createReadStream } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import { batchSchema, readBatch } from '../request/batch.js'
import { signalOf } from '../request/call.js'
import type { Schema } from '../request/schema.js'
import { jsonOf } from '../request/upload.js'
import type { RestOptions } from './rest.js'
import { jsonBody, problemResponses } from './schemas.js'

interface WithId {
  Params: { id: string; '*': string }
}

const text: Schema = { type: 'string' }
const count = (description: string): Schema => ({ type: 'integer', description })
const stateSchema: Schema = {
  type: 'object',
  properties: {
    id: text,
    state: { type: 'string', enum: ['waiting', 'fetching', 'running', 'done', 'failed'] },
    created: { type: 'string', format: 'date-time' },
    ended: { type: 'string', format: 'date-time' },
    photos: count('All of the batch'),
    done: count('Photos that have a mask'),
    failed: count('Photos that failed'),
    failures: {
      type: 'array',
      items: { type: 'object', properties: { photo: text, message: text } },
      description: 'The first 100 of them',
    },
    message: { ...text, description: 'Why the whole batch failed, or its callback could not be sent' },
    folder: { ...text, description: 'Where the results are, from --batch-root' },
  },
}
const described = (description: string): Schema => ({ description, content: { 'application/json': { schema: stateSchema } } })
const params: Schema = { type: 'object', properties: { id: text } }
const tags = ['batches']

/** /batches: many photos, which workers compute. */
export async function batchRoutes(app: FastifyInstance, { service, batches }: RestOptions): Promise<void> {
  const adding = {
    tags,
    summary: 'Have many photos computed by workers: takes minutes or hours',
    body: jsonBody(batchSchema),
    response: { 202: described('It will be done'), ...problemResponses },
  }
  app.post('/batches', { schema: adding }, async (request, reply) => {
    const state = await batches.add(readBatch(jsonOf(request), service), signalOf(request))
    return reply
      .code(202)
      .header('location', `${request.url.split('?')[0]}/${state.id}`)
      .send(state)
  })

  const telling = { tags, summary: 'How far a batch is', params, response: { 200: described('Its state'), ...problemResponses } }
  app.get<WithId>('/batches/:id', { schema: telling }, async (request) => batches.get(request.params.id))

  const sending = {
    tags,
    summary: "The mask of a batch's photo, by its name; /batches/{id}/masks/cats/1",
    params: { type: 'object', properties: { id: text, '*': text } },
    response: {
      200: {
        description: 'As POST /v1/segment gives it',
        content: { 'image/png': { schema: { type: 'string', format: 'binary' } } },
      },
      ...problemResponses,
    },
  }
  app.get<WithId>('/batches/:id/masks/*', { schema: sending }, async ({ params: { id, '*': name } }, reply) =>
    reply.type('image/png').send(createReadStream(batches.mask(id, name))),
  )

  const deleting = {
    tags,
    summary: 'End a batch and delete its results',
    params,
    response: { 204: { description: 'It is gone' }, ...problemResponses },
  }
  app.delete<WithId>('/batches/:id', { schema: deleting }, async (request, reply) => {
    await batches.remove(request.params.id)
    return reply.code(204).send()
  })
}
