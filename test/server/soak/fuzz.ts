// Requests that no client sends: random methods, paths, queries, headers and bodies. The server must answer each with a status below 500 (or 503)
// and a problem that has a code, and must work afterwards.
import * as assert from 'uvu/assert'
import { serve } from '../../../server/src/index.js'
import { segmentOptionProperties } from '../../../server/src/request/schema.js'
import { sceneFile } from '../support.js'
import { inParallel, randomFrom, type Sent, send } from './requests.js'

type Random = () => number
const choose = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)] as T

const paths = [
  '/v1/segment',
  '/v1/images',
  '/v1/images/x/segment',
  '/v1/images/x',
  '/v1/classes',
  '/v1/classes/x',
  '/v1/model',
  '/nothing',
  '/v1/%00',
  '/%',
  '//',
]
const methods = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS']
const types = [
  '',
  'image/png',
  'application/json',
  'multipart/form-data',
  'multipart/form-data; boundary=b',
  'text/plain',
  ';',
  'application/x-www-form-urlencoded',
]
const names = [
  ...Object.keys(segmentOptionProperties),
  'classes',
  'template',
  'background',
  'format',
  'shapes',
  '__proto__',
  'constructor',
  'x',
]
const values = [
  '',
  'cat',
  'cat,dog',
  'auto',
  'true',
  '-1',
  '1e999',
  'NaN',
  '{}',
  '[',
  '[[]]',
  '{"rounds":-1}',
  '[1,2]',
  '"',
  'a,"b',
  'json',
  '\u0000',
  '😀',
  'x'.repeat(5000),
]
const texts = [
  '',
  '{}',
  '[]',
  'null',
  '{"classes":["cat","dog"]}',
  '{"__proto__":{}}',
  '{"name":"a","classes":[{"name":1}]}',
  '{"classes":',
  '--b\r\n\r\n--b--',
  '--b\r\nContent-Disposition: form-data; name="photo"; filename="x"\r\n\r\nhello\r\n--b--\r\n',
  '--b\r\nContent-Disposition: form-data; name="classes"\r\n\r\ncat',
]

function damaged(photo: Buffer, random: Random): Buffer {
  const copy = Buffer.from(photo.subarray(0, Math.floor(random() * photo.length)))
  for (let i = 0; i < 20 && copy.length; i++) copy[Math.floor(random() * copy.length)] = Math.floor(random() * 256)
  return copy
}

function fuzzedRequest(photo: Buffer, random: Random): Sent {
  const query = Array.from(
    { length: Math.floor(4 * random()) },
    () => `${choose(random, names)}=${encodeURIComponent(choose(random, values))}`,
  )
  const method = choose(random, random() < 0.6 ? ['POST'] : methods)
  const path = random() < 0.6 ? choose(random, paths.slice(0, 5)) : choose(random, paths)
  const body = random() < 0.4 ? damaged(photo, random) : Buffer.from(choose(random, texts))
  const type = choose(random, types)
  return {
    ...{ method, body, path: `${path}${query.length ? `?${query.join('&')}` : ''}` },
    headers: {
      ...(type && { 'content-type': type }),
      ...(random() < 0.1 && { accept: choose(random, ['text/html', '*/*;q=0', ',,,', 'application/json;q=2']) }),
      ...(random() < 0.05 && { 'content-encoding': 'gzip' }),
      ...(random() < 0.05 && { 'x-request-id': '\u00e9'.repeat(100) }),
    },
    ...(random() < 0.05 && { leaveAfter: 5 * random() }),
  }
}

/** Sends `count` requests. Throws at an answer that no request may get. @returns how many answers had each status */
export async function fuzz(count: number, seed: number): Promise<Record<string, number>> {
  const rejections: unknown[] = []
  const note = (reason: unknown) => rejections.push(reason)
  process.on('unhandledRejection', note)
  const server = await serve({ port: 0, limits: { photoBytes: 150_000 }, load: { threads: 1 } })
  const photo = sceneFile('scene01')
  const statuses: Record<string, number> = {}
  try {
    const random = randomFrom(seed)
    await inParallel(count, 8, async () => {
      const sent = fuzzedRequest(photo, random)
      const got = await send(server.url, sent)
      const status = 'error' in got ? 'none' : got.status
      statuses[status] = (statuses[status] ?? 0) + 1
      if ('error' in got) return
      const told = `${sent.method} ${sent.path.slice(0, 200)} ${JSON.stringify(sent.headers)}: ${got.status} ${got.body.toString().slice(0, 300)}`
      assert.ok(got.status < 500 || got.status === 503, told)
      if (got.status >= 400 && sent.method !== 'HEAD') assert.match(String(JSON.parse(got.body.toString()).code), /^ERR_/, told)
    })
    const after = await send(server.url, { method: 'POST', path: '/v1/segment?classes=emoji', headers: {}, body: photo })
    assert.is('status' in after && after.status, 200)
    assert.equal(rejections, [])
    return statuses
  } finally {
    await server.close()
    process.off('unhandledRejection', note)
  }
}
