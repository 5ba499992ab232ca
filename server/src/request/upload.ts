import type { FastifyRequest } from 'fastify'
import { ServerError } from '../errors.js'

/** A photo with the texts that came with it. */
export interface Upload {
  photo: Buffer
  fields: Record<string, string | string[]>
}

const noPhoto = () =>
  new ServerError(
    400,
    'ERR_BAD_REQUEST',
    'the request has no photo',
    "send the file as the body (curl --data-binary @photo.jpg), or as the part 'photo' of a form (curl -F photo=@photo.jpg)",
  )

function addField(fields: Upload['fields'], name: string, value: string): void {
  const before = fields[name]
  fields[name] = before === undefined ? value : [...(typeof before === 'string' ? [before] : before), value]
}

async function readForm(request: FastifyRequest): Promise<Upload> {
  let photo: Buffer | undefined
  const fields: Upload['fields'] = Object.create(null)
  for await (const part of request.parts()) {
    if (part.type === 'field') addField(fields, part.fieldname, String(part.value))
    else if (part.fieldname === 'photo' && !photo) photo = await part.toBuffer()
    else {
      part.file.resume()
      throw new ServerError(
        400,
        'ERR_BAD_REQUEST',
        photo ? 'the form has more than one file' : `the form has a file named '${part.fieldname}'`,
        "send one file, named 'photo'",
      )
    }
  }
  if (!photo?.length) throw noPhoto()
  return { photo, fields }
}

/** Reads the photo of a request: the whole body, or a form's part. */
export async function readUpload(request: FastifyRequest): Promise<Upload> {
  if (request.isMultipart()) return await readForm(request)
  if (!Buffer.isBuffer(request.body) || !request.body.length) throw noPhoto()
  return { photo: request.body, fields: {} }
}
