import { basename } from 'node:path'
import { backgrounds, defaults, templates } from 'clip-es'
import type { FastifyInstance } from 'fastify'
import type { Service } from '../service/service.js'

/** GET /model: what a user interface needs to build its controls. */
export async function modelRoute(app: FastifyInstance, { service }: { service: Service }): Promise<void> {
  const schema = {
    tags: ['classes'],
    summary: 'The model, limits, defaults and class sets',
    response: { 200: { description: 'They are', content: { 'application/json': { schema: { type: 'object' } } } } },
  }
  app.get('/model', { schema }, async () => {
    const { path, ...model } = service.model
    return {
      model: { name: basename(path), ...model },
      limits: service.limits,
      defaults: { ...defaults, template: templates.clip_es, refine: true, crf: false },
      classSets: service.classSets.all,
      backgrounds: { voc: backgrounds.voc, coco: backgrounds.coco },
    }
  })
}
