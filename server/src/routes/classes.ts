import type { ClassFile } from 'clip-es'
import type { FastifyInstance } from 'fastify'
import { signalOf } from '../request/call.js'
import { checkWords } from '../request/question.js'
import { classesSchema, classOptionProperties, type Schema, segmentOptionProperties } from '../request/schema.js'
import { jsonOf } from '../request/upload.js'
import { validator } from '../request/validate.js'
import type { Service } from '../service/service.js'
import { jsonBody, problemResponses } from './schemas.js'

interface WithName {
  Params: { name: string }
}

const setSchema: Schema = {
  type: 'object',
  required: ['name', 'classes'],
  properties: {
    name: { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$', description: 'Letters, digits, dots, - and _' },
    classes: (classesSchema.oneOf as Schema[])[1] as Schema,
    ...classOptionProperties,
    boxThreshold: segmentOptionProperties.boxThreshold as Schema,
  },
  additionalProperties: false,
}
const validate = validator<ClassFile & { name: string }>('classes', setSchema)

const tags = ['classes']
const params: Schema = { type: 'object', properties: { name: { type: 'string' } } }
const storedSchema: Schema = { ...setSchema, properties: { ...setSchema.properties, builtIn: { type: 'boolean' } } }
const described = (description: string, schema = storedSchema): Schema => ({
  description,
  content: { 'application/json': { schema } },
})
const listSchema: Schema = { type: 'object', properties: { classSets: { type: 'array', items: storedSchema } } }

/** /classes: class sets by name. */
export async function classRoutes(app: FastifyInstance, { service }: { service: Service }): Promise<void> {
  const listing = { tags, summary: 'All class sets', response: { 200: described('They are', listSchema), ...problemResponses } }
  app.get('/classes', { schema: listing }, async () => ({ classSets: service.classSets.all }))

  const storing = {
    tags,
    summary: 'Store a class set under a name; it may have been there',
    body: jsonBody(setSchema),
    response: { 201: described('It is stored'), ...problemResponses },
  }
  app.post('/classes', { schema: storing }, async (request, reply) => {
    const { name, ...file } = validate(jsonOf(request))
    checkWords(file.classes, file, service.limits)
    return reply.code(201).send(await service.classSets.store(name, file, signalOf(request)))
  })

  const describing = { tags, summary: 'A class set', params, response: { 200: described('It is there'), ...problemResponses } }
  app.get<WithName>('/classes/:name', { schema: describing }, async (request) => service.classSets.get(request.params.name))

  const deleting = {
    tags,
    summary: 'Delete a class set',
    params,
    response: { 204: { description: 'It is gone' }, ...problemResponses },
  }
  app.delete<WithName>('/classes/:name', { schema: deleting }, async (request, reply) => {
    service.classSets.delete(request.params.name)
    return reply.code(204).send()
  })
}
