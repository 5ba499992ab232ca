// POST /v1/segment: what is sent, and every kind of answer, against the direct API.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunningServer } from '../../server/src/index.js'
import { readMask } from '../../ts/photos/index.js'
import { post, problem, sceneFile, sceneLabels, startServer } from './support.js'

const photo = sceneFile('scene01')
const labels = sceneLabels('scene01')
let server: RunningServer

test.before(async () => {
  server = await startServer()
})
test.after(() => server.close())

async function direct(): Promise<{ mask: Uint8Array; names: readonly string[] }> {
  const { service } = server
  const signal = new AbortController().signal
  const result = await service.segment({ photo, classes: 'emoji', options: { labels }, signal })
  return { mask: result.mask, names: result.names }
}

test('a photo as the body gives a palette mask', async () => {
  const response = await post(server, `/v1/segment?classes=emoji&labels=${labels.join(',')}`, photo)
  assert.is(response.status, 200)
  assert.is(response.headers.get('content-type'), 'image/png')
  const mask = await readMask(Buffer.from(await response.arrayBuffer()))
  assert.equal(mask.data, (await direct()).mask)
})

test('a photo as a part of a form', async () => {
  const form = new FormData()
  form.append('photo', new Blob([new Uint8Array(photo)]), 'photo.png')
  form.append('classes', 'emoji')
  for (const label of labels) form.append('labels', label)
  form.append('format', 'raw')
  const response = await post(server, '/v1/segment', form)
  assert.is(response.status, 200)
  assert.equal(new Uint8Array(await response.arrayBuffer()), (await direct()).mask)
})

test('an unknown option names the nearest known one', async () => {
  const { code, detail } = await problem(await post(server, '/v1/segment?classes=cat&lables=cat', photo), 400)
  assert.is(code, 'ERR_INVALID_ARG')
  assert.match(detail, "unknown option 'lables'; did you mean 'labels'?")
})

test.run()
