import { basename } from 'node:path'
import { invalid, packageVersion, show } from 'clip-es/support'
import type { FastifyInstance } from 'fastify'
import { callOf } from '../../request/call.js'
import type { Schema } from '../../request/schema.js'
import { jsonOf } from '../../request/upload.js'
import { photoJsonBytes } from '../base64_photo.js'
import { onlyDescribe, type ProtocolOptions } from '../options.js'
import { readLabelConfig } from './label_config.js'
import type { Task } from './photo.js'
import { predictTasks } from './predict.js'

const describe = (summary: string, properties?: Record<string, Schema>, required?: readonly string[]) => ({
  schema: {
    tags: ['tools'],
    summary: `Label Studio: ${summary}`,
    ...(properties && { body: { type: 'object', properties, ...(required && { required }) } }),
  },
})

const xml: Schema = { type: 'string', description: 'The labelling configuration of the project, XML' }

function readTasks(tasks: unknown): Task[] {
  const list = Array.isArray(tasks) ? tasks : [tasks]
  for (const task of list)
    if (typeof task?.data !== 'object' || task.data === null)
      throw invalid(`tasks has ${show(task)}; expected a task of Label Studio, such as {"id": 1, "data": {"image": "https://…"}}`)
  return list as Task[]
}

/** What Label Studio asks of an ML backend. The address of the server is that of the backend. */
export async function labelStudioRoutes(app: FastifyInstance, options: ProtocolOptions): Promise<void> {
  const { service } = options
  const modelVersion = `clip-es ${packageVersion()}, ${basename(service.model.path)}`
  onlyDescribe(app)

  app.get('/health', { config: { public: true }, ...describe('whether the backend works') }, async (_, reply) =>
    reply.code(service.ready ? 200 : 503).send({ status: service.ready ? 'UP' : 'CLOSING', model_class: 'ClipEs' }),
  )

  app.post('/setup', describe('a project is connected', { project: { type: 'string' }, schema: xml }), async (request) => {
    const { schema } = jsonOf(request) as { schema?: unknown }
    readLabelConfig(schema) // a wrong one is refused now, not with the first task
    return { model_version: modelVersion }
  })

  app.post(
    '/predict',
    {
      bodyLimit: photoJsonBytes(service),
      ...describe('predictions for tasks', { tasks: { type: 'array', items: { type: 'object' } }, label_config: xml }, [
        'tasks',
        'label_config',
      ]),
    },
    async (request) => {
      const { tasks, label_config } = jsonOf(request) as { tasks?: unknown; label_config?: unknown }
      const call = callOf(request)
      const fetching = { signal: call.signal, hold: (bytes: number) => call.hold(bytes) }
      const results = await predictTasks(readTasks(tasks), readLabelConfig(label_config), modelVersion, options, fetching)
      for (const { error } of results) if (error !== undefined) request.log.warn(`a task has no prediction: ${error}`)
      return { results }
    },
  )

  // Label Studio tells of every annotation, so that backends can learn. This one needs no training.
  app.post('/webhook', describe('an annotation was made'), async (_, reply) => reply.code(201).send({ status: 'ok', result: {} }))
}
