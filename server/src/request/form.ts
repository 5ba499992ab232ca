import { Busboy, type BusboyConfig, type BusboyFileStream, type BusboyInstance } from '@fastify/busboy'
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../errors.js'
import { readBody } from './body.js'
import { callOf } from './call.js'

/** A photo with the texts that came with it. */
export interface Upload {
  photo: Buffer
  fields: Record<string, string | string[]>
}

const mostFields = 100
const bad = (message: string, remedy?: string) => new ServerError(400, 'ERR_BAD_REQUEST', message, remedy)

function addField(fields: Upload['fields'], name: string, value: string): void {
  const before = Object.hasOwn(fields, name) ? fields[name] : undefined
  fields[name] = before === undefined ? value : [...(typeof before === 'string' ? [before] : before), value]
}

/** The parts of a form: one file, which is named 'photo', and texts. @throws ERR_BAD_REQUEST, in addition to the errors of readBody() */
export async function readForm(request: FastifyRequest): Promise<Upload> {
  const { photoBytes, jsonBytes } = callOf(request).limits
  const body = await readBody(request, photoBytes + jsonBytes)
  const limits: BusboyConfig['limits'] = { fieldSize: jsonBytes, fields: mostFields, parts: mostFields + 10 }
  const fields: Upload['fields'] = Object.create(null)
  const photos: Buffer[][] = []
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error) => reject(error instanceof ServerError ? error : bad(`the form is damaged (${error.message})`))
    const parser = formParser(request, limits, fail)
    if (!parser) return
    parser.on('field', (name, value, nameCut, valueCut) => {
      if (nameCut || valueCut) fail(new ServerError(413, 'ERR_TOO_LARGE', `the option ${name} has more than ${jsonBytes} bytes`))
      else addField(fields, name, value)
    })
    parser.on('file', (name, file: BusboyFileStream) => {
      const chunks: Buffer[] = []
      photos.push(chunks)
      file.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', fail)
      if (name !== 'photo') fail(bad(`the form has a file named '${name}'`, "send one file, named 'photo'"))
    })
    for (const event of ['partsLimit', 'fieldsLimit'] as const)
      parser.on(event, () => fail(bad(`the form has more than ${mostFields} options`, 'give lists as one option, with commas')))
    parser.on('error', (error) => fail(error as Error))
    parser.on('finish', resolve)
    parser.end(body)
  })
  if (photos.length > 1) throw bad(`the form has ${photos.length} files`, "send one file, named 'photo'")
  return { photo: Buffer.concat(photos[0] ?? []), fields }
}

function formParser(
  request: FastifyRequest,
  limits: BusboyConfig['limits'],
  fail: (error: Error) => void,
): BusboyInstance | undefined {
  try {
    return new Busboy({ headers: { 'content-type': request.headers['content-type'] as string }, limits })
  } catch (error) {
    fail(error as Error)
    return undefined
  }
}
