import type { ClassSpec } from 'clip-es'
import { invalid, show, unknownWord } from 'clip-es/support'
import type { FastifyInstance } from 'fastify'
import { signalOf } from '../../request/call.js'
import { readTexts } from '../../request/read_texts.js'
import { classesSchema, classOptionProperties, type Schema, segmentOptionProperties } from '../../request/schema.js'
import { jsonOf } from '../../request/upload.js'
import { decodePhoto, photoJsonBytes } from '../base64_photo.js'
import { maskOf } from '../mask.js'
import { onlyDescribe, type ProtocolOptions } from '../options.js'
import { questionOf } from '../question.js'
import type { ShapeOptions } from './shapes.js'

const types = ['mask', 'polygon'] as const

const properties: Record<string, Schema> = {
  image: { type: 'string', description: 'The photo, base64' },
  threshold: { type: 'number', description: 'How sure CLIP must be that a class is there, 0 to 1: labelThreshold' },
  classes: classesSchema,
}

const shapeProperties: Record<string, Schema> = {
  type: { type: 'string', enum: types, description: 'Default: mask' },
  regions: { type: 'boolean', description: 'A mask for each connected region, not for each class. Default: false' },
}

type Texts = Record<string, string | string[]>

/** What the answer's shapes are, from the query. @throws ERR_INVALID_ARG */
function readShapeOptions({ type = 'mask', regions = 'false' }: Texts): ShapeOptions {
  if (!types.includes(type as ShapeOptions['type'])) throw unknownWord('cvat', 'type', String(type), types)
  if (regions !== 'true' && regions !== 'false') throw invalid(`cvat: regions is ${show(regions)}; expected true or false`)
  return { type: type as ShapeOptions['type'], regions: regions === 'true' }
}

/**
 * POST /cvat: what CVAT asks of a detector, with the classes in addition: {"image", "threshold", "classes"}. examples/cvat has the Nuclio function
 * that adds them.
 */
export async function cvatRoutes(app: FastifyInstance, { service }: ProtocolOptions): Promise<void> {
  onlyDescribe(app)
  const schema = {
    ...{ tags: ['tools'], summary: 'CVAT: the shapes in a photo' },
    body: { type: 'object', required: ['image'], properties },
    querystring: {
      type: 'object',
      properties: { ...shapeProperties, classes: classesSchema, ...classOptionProperties, ...segmentOptionProperties },
    },
  }
  app.post('/cvat', { bodyLimit: photoJsonBytes(service), schema }, async (request, reply) => {
    const { image, threshold, classes: words } = jsonOf(request) as { image?: unknown; threshold?: unknown; classes?: unknown }
    const { type, regions, classes, ...texts } = request.query as Texts
    const shapes = readShapeOptions({ ...(type !== undefined && { type }), ...(regions !== undefined && { regions }) })
    const inQuery = classes === undefined ? {} : readTexts({ classes }, (name) => service.classSets.has(name))
    const given = (words ?? inQuery.classes) as ClassSpec[] | string
    const limit = threshold === undefined || threshold === null ? {} : { labelThreshold: threshold as number }
    const question = questionOf(service, 'cvat', given, texts, { labels: 'auto', ...limit })
    const photo = decodePhoto('image', image, service)
    const result = await service.segment({ ...question, photo, signal: signalOf(request) })
    const json = await service.threads.run('cvat', { ...maskOf(result), options: shapes }, signalOf(request))
    return reply.type('application/json').send(json)
  })
}
