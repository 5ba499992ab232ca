// What one request, and all together, may use: sizes, times, the queue. Nothing may be left behind.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunningServer, ServeOptions } from '../../server/src/index.js'
import { oneOf, post, problem, sceneFile, startServer, until } from './support.js'

const photo = sceneFile('scene01')
const path = '/v1/segment?classes=emoji&format=raw'

async function withServer(limits: ServeOptions['limits'], work: (server: RunningServer) => Promise<void>): Promise<void> {
  const server = await startServer({ limits, load: { concurrency: 1 } })
  try {
    await work(server)
    await until(() => server.service.uploads.held === 0 && server.service.queue.running === 0)
  } finally {
    await server.close()
  }
}

/** A connection of our own, to send what no client sends. */
async function open({ url }: RunningServer): Promise<Socket & { received: () => string }> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  let received = ''
  socket.setEncoding('utf8').on('data', (text) => {
    received += text
  })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return Object.assign(socket, { received: () => received })
}

const head = (server: RunningServer, length: number) =>
  `POST ${path} HTTP/1.1\r\nHost: ${new URL(server.url).host}\r\nContent-Type: image/png\r\nContent-Length: ${length}\r\n\r\n`

test('more requests than may wait get 503 with Retry-After; the others are answered', async () => {
  await withServer({ queue: 2 }, async (server) => {
    const expected = new Uint8Array(await (await post(server, path, photo)).arrayBuffer())
    const responses = await Promise.all(Array.from({ length: 20 }, () => post(server, path, photo)))
    const refused = responses.filter(({ status }) => status === 503)
    assert.ok(refused.length > 0 && refused.length < 20)
    for (const response of responses)
      if (response.status === 200) assert.equal(new Uint8Array(await response.arrayBuffer()), expected)
      else {
        assert.is((await problem(response, 503)).code, 'ERR_QUEUE_FULL')
        assert.ok(Number(response.headers.get('retry-after')) >= 1)
      }
  })
})

const base64 = photo.toString('base64')
const labelling =
  '<View><Image name="i" value="$image"/><BrushLabels name="b" toName="i"><Label value="panda"/></BrushLabels></View>'
/** What a client sends to segment a photo, by path: a photo, or the JSON of an annotation tool. */
const requests: Readonly<Record<string, Buffer | object>> = {
  [path]: photo,
  '/cvat': { image: base64, classes: ['panda', 'dog'] },
  '/predict': { tasks: [{ id: 1, data: { image: `data:image/png;base64,${base64}` } }], label_config: labelling },
  '/v2/models/clip-es/infer': {
    inputs: [
      { name: 'photo', shape: [1], datatype: 'BYTES', data: [base64] },
      { name: 'classes', shape: [2], datatype: 'BYTES', data: ['panda', 'dog'] },
    ],
  },
}

for (const [to, asked] of Object.entries(requests))
  test(`a client that leaves ${to.split('?')[0]} cancels its job`, async () => {
    const isPhoto = Buffer.isBuffer(asked)
    const body = isPhoto ? new Uint8Array(asked) : JSON.stringify(asked)
    const headers: Record<string, string> = isPhoto ? {} : { 'content-type': 'application/json' }
    const send = (server: RunningServer, signal?: AbortSignal) =>
      fetch(`${server.url}${to}`, { method: 'POST', body, headers, ...(signal && { signal }) })
    await withServer({}, async (server) => {
      const clients = Array.from({ length: 10 }, () => new AbortController())
      const answers = clients.map(({ signal }) => send(server, signal))
      await until(() => server.service.queue.waiting > 0)
      for (const client of clients) client.abort()
      for (const answer of answers) assert.ok((await oneOf(answer)) instanceof DOMException)
      await until(() => server.service.queue.waiting === 0 && server.service.queue.running === 0)
      assert.is((await send(server)).status, 200)
    })
  })

test('an upload that is too slow gets 408, and one that is broken off leaves nothing behind', async () => {
  await withServer({ uploadTime: 300 }, async (server) => {
    const slow = await open(server)
    slow.write(head(server, 1000))
    slow.write('begin')
    await once(slow, 'close')
    assert.match(slow.received(), /^HTTP\/1.1 408 .*ERR_UPLOAD_TIME/s)
  })
  await withServer({}, async (server) => {
    const broken = await open(server)
    broken.write(head(server, 1000))
    broken.write('begin')
    await until(() => server.service.uploads.held === 1000)
    broken.destroy()
  })
})

test('a body that is too large gets 413, whether its length is told or not', async () => {
  await withServer({ photoBytes: 1000 }, async (server) => {
    const { code, detail } = await problem(await post(server, path, photo), 413)
    assert.is(code, 'ERR_TOO_LARGE')
    assert.match(detail, `${photo.length} bytes; at most 1000`)
    const chunked = await open(server)
    chunked.write(head(server, 0).replace('Content-Length: 0', 'Transfer-Encoding: chunked'))
    chunked.write(`7d0\r\n${'x'.repeat(2000)}\r\n`)
    await once(chunked, 'close')
    assert.match(chunked.received(), /^HTTP\/1.1 413 /)
  })
})

test('uploads hold at most so many bytes together', async () => {
  await withServer({ uploadBytes: 200_000 }, async (server) => {
    const first = await open(server)
    first.write(head(server, 190_000))
    await until(() => server.service.uploads.held === 190_000)
    const response = await post(server, path, photo)
    assert.is((await problem(response, 503)).code, 'ERR_BUSY')
    assert.ok(response.headers.get('retry-after'))
    first.destroy()
    await until(() => server.service.uploads.held === 0)
    assert.is((await post(server, path, photo)).status, 200)
  })
})

test('photos with too many pixels are refused before they are decoded, and those with too many pages', async () => {
  const blank = sharp({ create: { width: 20_000, height: 20_000, channels: 3, background: '#000' }, limitInputPixels: false })
  const bomb = await blank.png({ compressionLevel: 9 }).toBuffer() // a megabyte that would become 1.2 GB
  const page = (grey: number) =>
    sharp({ create: { width: 64, height: 64, channels: 3, background: { r: grey, g: grey, b: grey } } })
      .png()
      .toBuffer()
  const pages = await sharp(await Promise.all([0, 50, 100, 150].map(page)), { join: { animated: true } })
    .webp()
    .toBuffer()
  await withServer({ photoFrames: 3 }, async (server) => {
    const before = process.memoryUsage().rss
    assert.match((await problem(await post(server, path, bomb), 400)).detail, 'it has 20000 x 20000 pixels, more than 50 million')
    assert.ok(process.memoryUsage().rss - before < 400e6)
    assert.match((await problem(await post(server, path, pages), 400)).detail, 'it has 4 pages; at most 3')
  })
})

test('words are limited', async () => {
  await withServer({ words: 3 }, async (server) => {
    assert.is((await post(server, '/v1/segment?classes=a,b&background=c&format=raw', photo)).status, 200)
    const { detail } = await problem(await post(server, '/v1/segment?classes=a,b&background=c,d', photo), 400)
    assert.match(detail, 'has 4 words; at most 3')
  })
})

test('a request that is not done in time gets 503', async () => {
  await withServer({ requestTime: 1 }, async (server) => {
    assert.is((await problem(await post(server, path, photo), 503)).code, 'ERR_REQUEST_TIME')
  })
})

test('compressed bodies are not read', async () => {
  await withServer({}, async (server) => {
    const response = await post(server, path, photo, { 'content-encoding': 'gzip' })
    assert.match((await problem(response, 415)).detail, "Content-Encoding 'gzip'")
  })
})

test.run()
