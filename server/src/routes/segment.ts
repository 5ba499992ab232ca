import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { answerOf, formatOf } from '../answers/answer.js'
import { requestSignal } from '../request/leave.js'
import { type Asked, readQuestion } from '../request/question.js'
import { readTexts } from '../request/read_texts.js'
import { readUpload } from '../request/upload.js'
import type { Service, ServiceResult } from '../service/service.js'

/** What a request asks in its query and its form; the form wins. Throws ERR_INVALID_ARG. */
export function askedInTexts(
  service: Service,
  request: FastifyRequest,
  fields: Record<string, string | string[]> = {},
): Record<string, unknown> {
  const texts = { ...(request.query as Record<string, string | string[]>), ...fields }
  return readTexts(texts, (name) => service.classSets.has(name))
}

/** Sends a result in the kind that was asked for. */
export async function sendResult(
  request: FastifyRequest,
  reply: FastifyReply,
  { format, shapes }: Asked,
  segment: () => Promise<ServiceResult>,
): Promise<FastifyReply> {
  const kind = format ?? formatOf(request.headers.accept) // before the work
  const { type, body } = await answerOf(await segment(), kind, shapes)
  return reply.type(type).send(body)
}

/** POST /segment: a photo and words in, a mask out. */
export async function segmentRoute(app: FastifyInstance, { service }: { service: Service }): Promise<void> {
  app.post('/segment', async (request, reply) => {
    const signal = requestSignal(reply, service.limits.requestTime)
    const { photo, fields } = await readUpload(request)
    const asked = readQuestion(askedInTexts(service, request, fields), service.limits)
    return await sendResult(request, reply, asked, () => service.segment({ ...asked.question, photo, signal }))
  })
}
