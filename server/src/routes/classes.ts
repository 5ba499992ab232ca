import type { ClassFile } from 'clip-es'
import type { FastifyInstance } from 'fastify'
import { requestSignal } from '../request/leave.js'
import { classesSchema, classOptionProperties, type Schema } from '../request/schema.js'
import { validator } from '../request/validate.js'
import type { Service } from '../service/service.js'

interface WithName {
  Params: { name: string }
}

const validate = validator<ClassFile & { name: string }>('classes', {
  type: 'object',
  required: ['name', 'classes'],
  properties: {
    name: { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' },
    classes: (classesSchema.oneOf as Schema[])[1] as Schema,
    ...classOptionProperties,
    boxThreshold: { type: 'number' },
  },
  additionalProperties: false,
})

/** /classes: class sets by name. */
export async function classRoutes(app: FastifyInstance, { service }: { service: Service }): Promise<void> {
  app.get('/classes', async () => ({ classSets: service.classSets.all }))

  app.post('/classes', async (request, reply) => {
    const { name, ...file } = validate(request.body ?? {})
    const set = await service.classSets.store(name, file, requestSignal(reply, service.limits.requestTime))
    return reply.code(201).send(set)
  })

  app.get<WithName>('/classes/:name', async (request) => service.classSets.get(request.params.name))

  app.delete<WithName>('/classes/:name', async (request, reply) => {
    service.classSets.delete(request.params.name)
    return reply.code(204).send()
  })
}
