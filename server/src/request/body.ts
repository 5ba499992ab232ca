import type { IncomingMessage } from 'node:http'
import { finished } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../errors.js'
import { callOf } from './call.js'

const tooLarge = (most: number, found: string) =>
  new ServerError(413, 'ERR_TOO_LARGE', `the body has ${found} bytes; at most ${most} are allowed`, 'reduce the photo first')

function announcedLength({ headers }: IncomingMessage): number | undefined {
  const { 'content-length': length } = headers
  return length === undefined ? undefined : Number(length)
}

function checkEncoding({ headers }: IncomingMessage): void {
  const encoding = headers['content-encoding']
  if (encoding === undefined || encoding === 'identity') return
  throw new ServerError(
    415,
    'ERR_MEDIA_TYPE',
    `the body has the Content-Encoding '${encoding}'; compressed bodies are not read`,
    'send the bytes as they are: photos are compressed already',
  )
}

/**
 * The whole body of a request. Counts its bytes as they arrive, so that neither a request nor all of them together hold more than may be.
 * @throws ERR_TOO_LARGE, ERR_BUSY, ERR_UPLOAD_TIME, ERR_MEDIA_TYPE
 */
export async function readBody(request: FastifyRequest, most: number): Promise<Buffer> {
  const { raw } = request
  const call = callOf(request)
  checkEncoding(raw)
  const length = announcedLength(raw)
  if (length !== undefined && length > most) throw tooLarge(most, String(length))
  if (length !== undefined) call.hold(length) // before any of it is read
  return await new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let total = 0
    const end = (outcome: () => void) => {
      clearTimeout(timer)
      forget()
      raw.off('data', add)
      outcome()
    }
    const refuse = (error: unknown) =>
      end(() => {
        raw.pause()
        reject(error)
      })
    const timer = setTimeout(() => {
      const message = `the body had not arrived after ${call.limits.uploadTime / 1000} s`
      refuse(new ServerError(408, 'ERR_UPLOAD_TIME', message, 'use a faster connection, or a smaller photo'))
    }, call.limits.uploadTime)
    const add = (chunk: Buffer) => {
      total += chunk.length
      try {
        if (total > most) throw tooLarge(most, `more than ${most}`)
        if (length === undefined) call.hold(chunk.length)
        chunks.push(chunk)
      } catch (error) {
        refuse(error)
      }
    }
    const forget = finished(raw, { writable: false }, (error) =>
      end(() =>
        error ? reject(new ServerError(400, 'ERR_BAD_REQUEST', 'the body ended early')) : resolve(Buffer.concat(chunks, total)),
      ),
    )
    raw.on('data', add)
  })
}

/** A JSON body; a route's bodyLimit may be above that of all. @throws ERR_BAD_REQUEST, in addition to the errors of readBody() */
export async function readJson(request: FastifyRequest): Promise<unknown> {
  const text = (
    await readBody(request, Math.max(callOf(request).limits.jsonBytes, request.routeOptions.bodyLimit ?? 0))
  ).toString('utf8')
  if (text.trim() === '') return {}
  try {
    return JSON.parse(text, refusePrototype)
  } catch (cause) {
    throw new ServerError(400, 'ERR_BAD_REQUEST', `the body is not JSON (${(cause as Error).message})`, 'send a JSON object')
  }
}

/** A key that could change what objects inherit, where code copies them carelessly. */
function refusePrototype(key: string, value: unknown): unknown {
  if (key === '__proto__') throw new Error("the key '__proto__' is not allowed")
  return value
}
