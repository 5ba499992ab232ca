import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { answerOf, formatOf } from '../answers/answer.js'
import { withoutPixels } from '../answers/threads.js'
import { signalOf } from '../request/call.js'
import { type Asked, readQuestion } from '../request/question.js'
import { readTexts } from '../request/read_texts.js'
import { questionSchema } from '../request/schema.js'
import { uploadOf } from '../request/upload.js'
import type { Service, ServiceResult } from '../service/service.js'
import { photoBody, problemResponses, segmentResponses } from './schemas.js'

/** What a request asks in its query and its form; the form wins. Throws ERR_INVALID_ARG. */
export function askedInTexts(
  service: Service,
  request: FastifyRequest,
  fields: Record<string, string | string[]> = {},
): Record<string, unknown> {
  const texts = { ...(request.query as Record<string, string | string[]>), ...fields }
  return readTexts(texts, (name) => service.classSets.has(name))
}

/** What a request asks. Throws ERR_INVALID_ARG, ERR_NOT_ACCEPTABLE. */
export const readAsked = ({ headers }: FastifyRequest, given: unknown, { limits }: Service): Asked =>
  readQuestion(given, () => formatOf(headers.accept), limits)

/** Sends a result in the kind that was asked for. */
export async function sendResult(
  { threads }: Service,
  reply: FastifyReply,
  { format, shapes }: Asked['answer'],
  result: ServiceResult,
): Promise<FastifyReply> {
  const { type, body } =
    format === 'mask' || format === 'raw' // these need no thread: sharp has its own
      ? await answerOf(result, format, shapes)
      : await threads.run(
          'answer',
          { result: format === 'overlay' ? result : withoutPixels(result), format, shapes },
          signalOf(reply.request),
        )
  return reply.type(type).send(typeof body === 'string' ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength))
}

/** POST /segment: a photo and words in, a mask out. */
export async function segmentRoute(app: FastifyInstance, { service }: { service: Service }): Promise<void> {
  const schema = {
    tags: ['segment'],
    summary: 'A mask for a photo',
    querystring: questionSchema,
    body: photoBody(questionSchema),
    response: { ...segmentResponses, ...problemResponses },
  }
  app.post('/segment', { schema }, async (request, reply) => {
    const { photo, fields } = uploadOf(request)
    const { question, answer } = readAsked(request, askedInTexts(service, request, fields), service)
    return await sendResult(service, reply, answer, await service.segment({ ...question, photo, signal: signalOf(request) }))
  })
}
