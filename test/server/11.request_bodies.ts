// Bodies of requests and kinds of answers: what is a photo, what is JSON, how large they may be, and what the header Accept asks for.
import type { FastifyRequest } from 'fastify'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { contentTypes, formatOf } from '../../server/src/answers/answer.js'
import type { Service } from '../../server/src/index.js'
import { checkPhotoBytes, decodePhoto, photoJsonBytes } from '../../server/src/protocols/base64_photo.js'
import { jsonOf, uploadOf } from '../../server/src/request/upload.js'
import { UploadBudget } from '../../server/src/service/budget.js'
import { outcomeOf as errorOf } from './support.js'

const service = { limits: { photoBytes: 6, jsonBytes: 10 } } as unknown as Service

test('a photo comes as the body or in a form, and JSON as neither', () => {
  const of = (body: unknown, headers = {}) => ({ body, headers }) as FastifyRequest
  const [photo, empty] = [Buffer.from('photo'), Buffer.alloc(0)]
  assert.equal(uploadOf(of(photo)), { photo, fields: {} })
  const form = { photo, fields: { a: 'b' } }
  assert.is(uploadOf(of(form)), form)
  const missing =
    '400 | ERR_BAD_REQUEST | the request has no photo | send the file as the body (curl --data-binary @photo.jpg), or as the part ' +
    "'photo' of a form (curl -F photo=@photo.jpg)"
  for (const body of [empty, undefined, null, 'text', { photo }, { fields: {} }, { photo: empty, fields: {} }])
    assert.is(
      errorOf(() => uploadOf(of(body))),
      missing,
    )
  for (const body of [undefined, null, empty]) assert.equal(jsonOf(of(body)), {})
  for (const body of [{ a: 1 }, [1], 'text', { photo }, { fields: 1 }]) assert.is(jsonOf(of(body)), body)
  const type = (what: string) =>
    `415 | ERR_MEDIA_TYPE | the body is ${what}; expected JSON | send the header content-type: application/json`
  assert.is(
    errorOf(() => jsonOf(of(photo, { 'content-type': 'text/plain' }))),
    type('text/plain'),
  )
  assert.is(
    errorOf(() => jsonOf(of(form))),
    type('content without a type'),
  )
})

test('a photo in base64 has at most the bytes of a photo', () => {
  assert.is(photoJsonBytes(service), 18)
  assert.is(photoJsonBytes({ limits: { photoBytes: 7, jsonBytes: 1 } } as Service), 11)
  assert.equal(decodePhoto('it', Buffer.from('123456').toString('base64'), service), Buffer.from('123456'))
  assert.is(
    errorOf(() => decodePhoto('it', Buffer.from('1234567').toString('base64'), service)),
    '413 | ERR_TOO_LARGE | it has 7 bytes; at most 6 are allowed | reduce the photo first',
  )
  const whole = Buffer.alloc(6)
  assert.is(checkPhotoBytes('it', whole, service), whole)
  for (const wrong of ['', undefined, 7, '!'])
    assert.is(
      errorOf(() => decodePhoto('it', wrong, service)),
      '400 | ERR_BAD_REQUEST | it is not a photo in base64 | send the bytes of an image file in base64',
    )
})

test('uploads together hold the limit and not a byte more', () => {
  const budget = new UploadBudget(10)
  budget.hold(4)
  budget.hold(6)
  assert.is(budget.held, 10)
  assert.is(
    errorOf(() => budget.hold(1)),
    '503 | ERR_BUSY | uploads of other requests hold 10 of 10 bytes | send the request again later',
  )
  budget.release(7)
  assert.is(budget.held, 3)
})

test('the header Accept says what an answer is: the most wanted kind that is known', () => {
  assert.equal(contentTypes, {
    ...{ mask: 'image/png', json: 'application/json', overlay: 'image/x-overlay+png', raw: 'application/octet-stream' },
    npz: 'application/x-npz',
  })
  for (const [accept, format] of [
    [undefined, 'mask'],
    [' ', 'mask'],
    ['*/*', 'mask'],
    ['image/*', 'mask'],
    ['application/*', 'json'],
    ['text/html, Application/JSON', 'json'],
    ['application/json;q=0.5, image/png', 'mask'],
    ['application/json; q=0.5, image/png; q=0.4', 'json'],
    ['application/json;q=0, application/x-npz;q=0.1', 'npz'],
    ['application/octet-stream;level=1;q=0.2', 'raw'],
    ['image/x-overlay+png', 'overlay'],
    ['application/json;level=2, image/png;q=0.9', 'json'],
  ] as const)
    assert.is(formatOf(accept), format, accept)
  assert.is(
    errorOf(() => formatOf('text/html;q=0.1')),
    "406 | ERR_NOT_ACCEPTABLE | Accept is 'text/html;q=0.1'; the answers are image/png, application/json, image/x-overlay+png, " +
      'application/octet-stream, application/x-npz | ask for one of these, or leave the header out',
  )
  assert.match(
    errorOf(() => formatOf('image/png;q=0')),
    /^406/,
  )
})

test.run()
