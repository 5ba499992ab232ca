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

/** The JSON body of a request, or an empty object if there is none. @throws ERR_MEDIA_TYPE for other content */
export function jsonOf({ body, headers }: FastifyRequest): unknown {
  const isEmpty = body === undefined || body === null || (Buffer.isBuffer(body) && body.length === 0)
  if (isEmpty) return {}
  if (!Buffer.isBuffer(body) && !isUpload(body)) return body
  const type = headers['content-type'] ?? 'content without a type'
  throw new ServerError(
    415,
    'ERR_MEDIA_TYPE',
    `the body is ${type}; expected JSON`,
    'send the header content-type: application/json',
  )
}
