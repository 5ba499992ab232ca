import type { FastifyRequest } from 'fastify'
import { ServerError } from '../errors.js'
import type { Upload } from './form.js'

const isUpload = (body: unknown): body is Upload =>
  typeof body === 'object' && body !== null && 'photo' in body && 'fields' in body

/** The photo of a request: the whole body, or a form's part. @throws ERR_BAD_REQUEST */
export function uploadOf({ body }: FastifyRequest): Upload {
  const upload = Buffer.isBuffer(body) ? { photo: body, fields: {} } : isUpload(body) ? body : undefined
  if (upload?.photo.length) return upload
  throw new ServerError(
    400,
    'ERR_BAD_REQUEST',
    'the request has no photo',
    "send the file as the body (curl --data-binary @photo.jpg), or as the part 'photo' of a form (curl -F photo=@photo.jpg)",
  )
}
