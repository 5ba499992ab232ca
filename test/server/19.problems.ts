// What callers are told of errors.
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { answerClientError } from '../../server/src/client_error.js'
import { problemOf, ServerError } from '../../server/src/errors.js'
import { sendProblem } from '../../server/src/send_problem.js'
import { ClipEsError, type ErrorCode } from '../../ts/index.js'

const told = (error: unknown) => {
  const { status, code, detail, remedy, requestId } = problemOf(error, 'r')
  assert.is(requestId, 'r')
  return [status, code, detail, remedy]
}

test('errors of requests and of the library are told as they are', () => {
  assert.equal(told(new ServerError(403, 'ERR_FORBIDDEN', 'no', 'ask')), [403, 'ERR_FORBIDDEN', 'no', 'ask'])
  assert.equal(told(new ServerError(400, 'ERR_BAD_REQUEST', 'no')), [400, 'ERR_BAD_REQUEST', 'no', undefined])
  assert.equal(told(new ClipEsError('ERR_INVALID_ARG', 'wrong')), [400, 'ERR_INVALID_ARG', 'wrong', undefined])
  assert.equal(told(new ClipEsError('ERR_OUT_OF_MEMORY', 'full')), [503, 'ERR_OUT_OF_MEMORY', 'full', undefined])
})

test('errors of the framework keep their status, and what went wrong inside stays in the log', () => {
  const framework = (statusCode: number) => told(Object.assign(new Error('m'), { statusCode })).slice(0, 3)
  assert.equal(framework(400), [400, 'ERR_BAD_REQUEST', 'm'])
  assert.equal(framework(404), [404, 'ERR_NOT_FOUND', 'm'])
  assert.equal(framework(413), [413, 'ERR_TOO_LARGE', 'm'])
  assert.equal(framework(415), [415, 'ERR_MEDIA_TYPE', 'm'])
  assert.equal(framework(499), [499, 'ERR_BAD_REQUEST', 'm'])
  const inside = [500, 'ERR_INTERNAL', 'an error that was not expected; the log of the server has it', undefined]
  for (const error of [new Error('secret'), new ClipEsError('ERR_INTERNAL', 'secret'), null, 'secret'])
    assert.equal(told(error), inside)
  assert.equal(framework(399).slice(0, 2), [500, 'ERR_INTERNAL'])
  assert.equal(framework(500).slice(0, 2), [500, 'ERR_INTERNAL'])
})

test('every code has a status and a title', () => {
  const ofLibrary: [code: ErrorCode, status: number, title: string][] = [
    ['ERR_INVALID_ARG', 400, 'A value is wrong'],
    ['ERR_MODEL_READ', 500, 'The model cannot be read'],
    ['ERR_MODEL_FORMAT', 500, 'The model is damaged'],
    ['ERR_LIBTORCH', 500, 'LibTorch does not work'],
    ['ERR_DEVICE_UNAVAILABLE', 503, 'The device is not available'],
    ['ERR_OUT_OF_MEMORY', 503, 'There is not enough memory'],
    ['ERR_QUEUE_FULL', 503, 'Too many requests wait'],
    ['ERR_CLOSED', 503, 'The server is closing'],
    ['ERR_IO', 500, 'A file cannot be read or written'],
    ['ERR_INTERNAL', 500, 'The server has a bug'],
  ]
  for (const [code, status, title] of ofLibrary) {
    const detail = code === 'ERR_INTERNAL' ? 'an error that was not expected; the log of the server has it' : 'm'
    assert.equal(problemOf(new ClipEsError(code, 'm'), 'r'), { type: 'about:blank', title, status, detail, code, requestId: 'r' })
  }
  const ofServer = {
    ERR_BAD_REQUEST: 'The request cannot be read',
    ERR_UNAUTHORIZED: 'An API key is needed',
    ERR_FORBIDDEN: 'This is not allowed',
    ERR_NOT_FOUND: 'There is nothing here',
    ERR_METHOD: 'The method does not fit',
    ERR_NOT_ACCEPTABLE: 'There is no such kind of answer',
    ERR_TOO_LARGE: 'The request is too large',
    ERR_MEDIA_TYPE: 'The kind of content is not read',
    ERR_UPLOAD_TIME: 'The upload took too long',
    ERR_REQUEST_TIME: 'The request took too long',
    ERR_BUSY: 'The server is busy',
    ERR_CLIENT_LEFT: 'The client has left',
  }
  for (const [code, title] of Object.entries(ofServer))
    assert.is(problemOf(new ServerError(418, code as keyof typeof ofServer, 'm'), 'r').title, title)
  assert.is(new ServerError(418, 'ERR_BUSY', 'm').name, 'ServerError')
})

/** What sendProblem() does to a reply, and what it logs. */
function sent(error: unknown, { complete = true, retryAfter }: { complete?: boolean; retryAfter?: number } = {}) {
  const done: unknown[][] = []
  const reply: unknown = new Proxy(
    {},
    {
      get(_, name) {
        return (...words: unknown[]) => {
          done.push([name, ...words])
          return reply
        }
      },
    },
  )
  const logged: unknown[] = []
  const request = { id: 'r', raw: { complete }, log: { error: (what: unknown) => logged.push(what) } }
  const result = sendProblem(error, request as unknown as FastifyRequest, reply as FastifyReply, retryAfter)
  assert.is(result, reply)
  return { done, logged }
}

test('an answer that is an error has its status, its headers and its kind of content, and bugs are logged', () => {
  const end = (error: unknown, status: number) => [
    ['code', status],
    ['type', 'application/problem+json'],
    ['send', problemOf(error, 'r')],
  ]
  const wrong = new ServerError(400, 'ERR_BAD_REQUEST', 'no')
  assert.equal(sent(wrong), { done: end(wrong, 400), logged: [] })
  const cut = sent(wrong, { complete: false })
  assert.equal(cut, { done: [['header', 'connection', 'close'], ...end(wrong, 400)], logged: [] })
  const key = new ServerError(401, 'ERR_UNAUTHORIZED', 'no')
  assert.equal(sent(key).done, [['header', 'www-authenticate', 'Bearer'], ...end(key, 401)])
  const busy = new ClipEsError('ERR_QUEUE_FULL', 'later')
  assert.equal(sent(busy, { retryAfter: 7 }), { done: [['header', 'retry-after', 7], ...end(busy, 503)], logged: [] })
  assert.equal(sent(busy).done[0], ['header', 'retry-after', 1])
  const bug = new Error('secret')
  assert.equal(sent(bug), { done: end(bug, 500), logged: [bug] })
})

test('what is not HTTP, or comes too slowly, is answered on the connection', () => {
  const told = (error: object, writable = true) => {
    const done: unknown[] = []
    const socket = { writable, destroy: () => done.push('destroyed'), end: (text: string) => done.push(text) }
    answerClientError(error as NodeJS.ErrnoException, socket as unknown as Socket)
    assert.is(done.length, 1)
    const [head = '', body = ''] = String(done[0]).split('\r\n\r\n')
    return { head: head.split('\r\n'), body }
  }
  assert.equal(told({ code: 'ECONNRESET' }).head, ['destroyed'])
  assert.equal(told({ code: 'HPE_INVALID_METHOD' }, false).head, ['destroyed'])
  for (const [error, status, title, code, detail, remedy] of [
    [
      { code: 'ERR_HTTP_REQUEST_TIMEOUT' },
      ...[408, 'The upload took too long', 'ERR_UPLOAD_TIME', 'the request had not arrived in time'],
      'use a faster connection, or a smaller photo',
    ],
    [
      { code: 'HPE_HEADER_OVERFLOW' },
      ...[431, 'The request is too large', 'ERR_TOO_LARGE', 'the headers are too large'],
      'send long options in a form or a JSON body',
    ],
    [
      { code: 'HPE_INVALID_METHOD', message: 'é' },
      ...[400, 'The request cannot be read', 'ERR_BAD_REQUEST', 'it is not an HTTP request (é)'],
      'send HTTP/1.1',
    ],
  ] as const) {
    const { head, body } = told(error as object)
    assert.equal(head, [
      `HTTP/1.1 ${status} ${title}`,
      'content-type: application/problem+json; charset=utf-8',
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
    ])
    const { requestId, ...problem } = JSON.parse(body)
    assert.equal(problem, { type: 'about:blank', title, status, detail, code, remedy })
    assert.match(requestId, /^[0-9a-f-]{36}$/)
  }
})

test.run()
