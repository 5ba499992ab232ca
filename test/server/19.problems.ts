// What callers are told of errors.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { problemOf, ServerError } from '../../server/src/errors.js'
import { ClipEsError } from '../../ts/index.js'

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

test.run()
