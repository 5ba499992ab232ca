import type { FastifyInstance } from 'fastify'
import { requestSignal } from '../request/leave.js'
import { readQuestion } from '../request/question.js'
import { readUpload } from '../request/upload.js'
import type { Service } from '../service/service.js'
import { askedInTexts, sendResult } from './segment.js'

interface WithId {
  Params: { id: string }
}

/** /images: photos that are encoded once, for any number of words. */
export async function imageRoutes(app: FastifyInstance, { service }: { service: Service }): Promise<void> {
  app.post('/images', async (request, reply) => {
    const signal = requestSignal(reply, service.limits.requestTime)
    const { photo } = await readUpload(request)
    const { expires, ...image } = await service.addImage(photo, signal)
    return reply
      .code(201)
      .header('location', `${request.url.split('?')[0]}/${image.id}`)
      .send({ ...image, expires: new Date(expires).toISOString() })
  })

  app.post<WithId>('/images/:id/segment', async (request, reply) => {
    const signal = requestSignal(reply, service.limits.requestTime)
    const asked = readQuestion({ ...askedInTexts(service, request), ...(request.body as object | undefined) }, service.limits)
    return await sendResult(request, reply, asked, () => service.segmentImage(request.params.id, { ...asked.question, signal }))
  })

  app.delete<WithId>('/images/:id', async (request, reply) => {
    service.images.delete(request.params.id)
    return reply.code(204).send()
  })
}
