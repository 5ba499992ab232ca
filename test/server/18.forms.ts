// Forms: their limits, and those that cannot be read.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunningServer } from '../../server/src/index.js'
import { post, problem, sceneFile, startServer } from './support.js'

const photo = sceneFile('scene01')
let server: RunningServer

test.before(async () => {
  server = await startServer({ limits: { jsonBytes: 1000 } })
})
test.after(() => server.close())

/** A form with a photo and options in this order. */
function form(...options: [name: string, value: string][]): FormData {
  const made = new FormData()
  made.append('photo', new Blob([new Uint8Array(photo)]), 'photo.png')
  for (const [name, value] of [...options, ['format', 'raw'] as const]) made.append(name, value)
  return made
}

test('a list may have many fields, and a form at most 100', async () => {
  const labels = (count: number) => Array.from({ length: count }, (): [string, string] => ['labels', 'television'])
  const classes: [string, string] = ['classes', 'emoji']
  const twice = await problem(await post(server, '/v1/segment', form(classes, ...labels(98))), 400)
  assert.match(twice.detail, "labels has 'television' twice", 'all fields were read')
  const { detail, remedy } = await problem(await post(server, '/v1/segment', form(classes, ...labels(99))), 400)
  assert.is(detail, 'the form has more than 100 options')
  assert.match(remedy ?? '', 'give lists as one option, with commas')
  const three = await post(server, '/v1/segment', form(['classes', 'television'], ['classes', 'elephant'], ['classes', 'panda']))
  assert.is(three.status, 200)
})

test('an option is as long as a JSON body may be', async () => {
  const fits = await problem(await post(server, '/v1/segment', form(['classes', 'x'.repeat(1000)])), 400)
  assert.is(fits.code, 'ERR_INVALID_ARG', fits.detail)
  const long = await problem(await post(server, '/v1/segment', form(['classes', 'x'.repeat(1001)])), 413)
  assert.equal([long.code, long.detail], ['ERR_TOO_LARGE', 'the option classes has more than 1000 bytes'])
})

test('a form that is damaged is refused', async () => {
  const headers = { 'content-type': 'multipart/form-data' }
  assert.match(
    (await problem(await post(server, '/v1/segment', photo, headers), 400)).detail,
    /^the form is damaged \(.*[Bb]oundary/,
  )
  const cut = Buffer.from('--b\r\ncontent-disposition: form-data; name="photo"; filename="a.png"\r\n\r\nPNG')
  const answer = await post(server, '/v1/segment', cut, { 'content-type': 'multipart/form-data; boundary=b' })
  assert.match((await problem(answer, 400)).detail, /^the form is damaged \(/)
})

test.run()
