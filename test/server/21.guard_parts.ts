// Who may use the server, and what it keeps: keys, origins, headers, stored photos, the labels of answers. No engine and no network.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyReply, FastifyRequest } from 'fastify'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { jsonAnswer } from '../../server/src/answers/json.js'
import { extentsOf, labelsOf } from '../../server/src/answers/labels.js'
import { ApiKeys } from '../../server/src/guards/api_keys.js'
import { secure } from '../../server/src/guards/headers.js'
import { checkLoopbackHost, checkOrigin } from '../../server/src/guards/origins.js'
import type { ServiceResult } from '../../server/src/index.js'
import { bytesOf, ImageStore } from '../../server/src/service/image_store.js'
import type { EncodedImage } from '../../ts/index.js'
import { compressRle, encodeRle, joinHoles, type Photo, traceRegions } from '../../ts/photos/index.js'
import { temporaryFolder } from '../unit/support.js'
import { outcomeOf, until } from './support.js'

const request = (headers: object, more: object = {}) => ({ headers, ...more }) as unknown as FastifyRequest
const none = (): void => undefined

const [key, other] = ['0123456789abcdef', 'fedcba9876543210']

test('a key is a bearer token, the password of basic authentication, or the header x-api-key', () => {
  const keys = new ApiKeys([key], undefined, none)
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
  assert.is(keys.needed, true)
  assert.is(new ApiKeys([], undefined, none).needed, false)
  assert.equal([keys.has(key), keys.has(other), keys.has('')], [true, false, false])
  const check = (headers: object) => outcomeOf(() => keys.check(request(headers)))
  for (const headers of [
    ...[
      { authorization: `Bearer ${key}` },
      { authorization: `bearer  ${key}` },
      { 'x-api-key': key },
      { 'x-api-key': [key, other] },
    ],
    ...[{ authorization: basic(`user:${key}`) }, { authorization: basic(`:${key}`) }, { authorization: basic(key) }],
    { authorization: `Other ${other}`, 'x-api-key': key },
  ])
    assert.is(check(headers), 'let through', JSON.stringify(headers))
  const remedy = 'send the header Authorization: Bearer KEY'
  for (const headers of [{}, { authorization: key }, { authorization: `Bearer ${key} x` }, { authorization: '' }])
    assert.is(check(headers), `401 | ERR_UNAUTHORIZED | the request has no API key | ${remedy}`)
  for (const headers of [
    { authorization: `Bearer ${other}`, 'x-api-key': key },
    { 'x-api-key': [other, key] },
    { authorization: basic(`${key}:x`) },
  ])
    assert.is(check(headers), `401 | ERR_UNAUTHORIZED | the API key is not known | ${remedy}`)
})

test('keys have 16 characters without spaces, and a file of keys at least one', async () => {
  const make = (keys: string[], file?: string) =>
    outcomeOf(() => {
      const made = new ApiKeys(keys, file, none)
      made.close()
    })
  const short = (from: string, length: number) =>
    `ERR_INVALID_ARG | ${from} has a key of ${length} characters; expected at least 16, without spaces: openssl rand -hex 24 makes one`
  assert.is(make([key]), 'let through')
  assert.is(make([key.slice(1)]), short('the list of API keys', 15))
  assert.is(make([`${key} x`]), short('the list of API keys', 18))
  const file = join(temporaryFolder(), 'keys')
  assert.match(
    make([], file),
    /^ERR_INVALID_ARG \| the file of API keys \S+\/keys cannot be read \(ENOENT.*\); write one key a line into it$/,
  )
  writeFileSync(file, '\n# nothing\n')
  assert.is(make([], file), `ERR_INVALID_ARG | the file of API keys ${file} has no key; write one key a line into it`)
  writeFileSync(file, `${key}\nshort\n`)
  assert.is(make([], file), short(file, 5))
  writeFileSync(file, `# mine\n\n  ${key} \r\n`)
  const reloads: (string | undefined)[] = []
  const keys = new ApiKeys([other], file, (error) => reloads.push(error?.message))
  assert.equal([keys.needed, keys.has(key), keys.has(other), keys.has('# mine')], [true, true, true, false])
  /** Writes the file until it was read again: watching it begins some time after the call. */
  const rewrite = async (text: string, holds: () => boolean) => {
    await until(() => {
      writeFileSync(file, text)
      return holds()
    })
  }
  await rewrite('short\n', () => reloads.length > 0)
  assert.is(reloads[0], short(file, 5).replace('ERR_INVALID_ARG | ', ''))
  assert.ok(keys.has(key), 'the keys stay as they were')
  await rewrite(`${key.toUpperCase()}\n`, () => keys.has(key.toUpperCase()))
  assert.equal([reloads.at(-1), keys.has(key)], [undefined, false])
  keys.close()
  const { length } = reloads
  writeFileSync(file, `${key}\n`)
  await new Promise((wake) => setTimeout(wake, 1500))
  assert.is(reloads.length, length, 'a closed list does not watch its file')
})

test('pages of other sites are refused, links to the page are not', () => {
  const at = { method: 'POST', protocol: 'https', host: 'h.test:81' }
  const check = (headers: object, allowed: string[] = [], more: object = {}) =>
    outcomeOf(() => checkOrigin(request(headers, { ...at, ...more }), allowed))
  const refused = (from: string) =>
    `403 | ERR_FORBIDDEN | the request comes from a page of ${from} | allow this origin by the option cors (clip-es serve --cors ORIGIN)`
  const [own, site] = [{ origin: 'https://h.test:81' }, { origin: 'https://site.test' }]
  const cross = { 'sec-fetch-site': 'cross-site' }
  assert.is(check({}), 'let through')
  assert.is(check(own), 'let through')
  assert.is(check({ ...own, ...cross }), 'let through')
  assert.is(check({ 'sec-fetch-site': 'same-origin' }), 'let through')
  assert.is(check({ origin: 'http://h.test:81' }), refused('http://h.test:81'))
  assert.is(check(site), refused('https://site.test'))
  assert.is(check(site, ['https://site.test']), 'let through')
  assert.is(check({ ...site, ...cross }, ['*']), 'let through')
  assert.is(check(site, ['https://other.test']), refused('https://site.test'))
  assert.is(check(cross, ['*']), refused('another site'))
  const link = { ...cross, 'sec-fetch-mode': 'navigate' }
  assert.is(check(link, [], { method: 'GET' }), 'let through')
  assert.is(check(link), refused('another site'))
  assert.is(check({ ...cross, 'sec-fetch-mode': 'no-cors' }, [], { method: 'GET' }), refused('another site'))
})

test("a server of this machine answers only to this machine's own names", () => {
  const check = (host: string) => outcomeOf(() => checkLoopbackHost(request({}, { host })))
  for (const host of ['localhost', 'LOCALHOST:8080', '127.0.0.1', '127.1.2.3:1', '[::1]', '[::1]:80'])
    assert.is(check(host), 'let through')
  for (const host of ['', 'localhost.evil.test', 'x127.0.0.1', '127.0.0.1.test', '127.0.0', '::1', '10.0.0.1', 'localhost:x'])
    assert.is(
      check(host),
      `403 | ERR_FORBIDDEN | the request is for the host '${host}', but this server listens on this machine only | use http://127.0.0.1 or ` +
        'http://localhost; behind a proxy, start the server with trustProxy (--trust-proxy)',
    )
})

test('security headers are added where an answer does not have its own', () => {
  const headersOf = (before: Record<string, string>, shared: boolean) => {
    const headers = { ...before }
    const reply = {
      hasHeader: (name: string) => name in headers,
      header: (name: string, value: string) => (headers[name] = value),
    }
    secure(reply as unknown as FastifyReply, shared)
    return headers
  }
  const all = {
    ...{ 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer' },
    ...{ 'content-security-policy': "default-src 'none'; frame-ancestors 'none'", 'cache-control': 'no-store' },
  }
  assert.equal(headersOf({}, false), { ...all, 'cross-origin-resource-policy': 'same-origin' })
  assert.equal(headersOf({}, true), { ...all, 'cross-origin-resource-policy': 'cross-origin' })
  const own = Object.fromEntries(Object.keys({ ...all, 'cross-origin-resource-policy': '' }).map((name) => [name, 'own']))
  assert.equal(headersOf(own, true), own)
})

const picture = { width: 10, height: 20 } as Photo
function encoded(disposed: string[], name: string) {
  return { grid: { width: 2, height: 3 }, dispose: () => void disposed.push(name) } as unknown as EncodedImage
}
/** 6 bytes a pixel, the attention of 6 patches as floats, and 32 bytes for each channel of a patch. */
const each = 6 * 200 + 4 * 36 + 32 * 6 * 5

test('stored photos go when there is no room: those that were not used for longest first', () => {
  assert.is(bytesOf(picture, encoded([], ''), 5), each)
  const disposed: string[] = []
  const store = new ImageStore(2 * each, 60_000, 5)
  const before = Date.now()
  const [a, b] = [store.add(picture, encoded(disposed, 'a')), store.add(picture, encoded(disposed, 'b'))]
  assert.equal({ ...a, expires: 0 }, { id: a.id, width: 10, height: 20, bytes: each, expires: 0 })
  assert.ok(a.expires >= before + 60_000 && a.expires <= Date.now() + 60_000)
  assert.equal([store.count, store.bytes, disposed], [2, 2 * each, []])
  assert.is(store.use(a.id).photo, picture)
  store.add(picture, encoded(disposed, 'c'))
  assert.equal([store.count, store.bytes, disposed], [2, 2 * each, ['b']])
  const gone =
    `404 | ERR_NOT_FOUND | there is no image ${b.id}: it was deleted, was not used for 60 s, or had to make room for others` +
    ' | send the photo to POST /v1/images again'
  for (const call of [store.describe, store.use, store.delete])
    assert.is(
      outcomeOf(() => call.call(store, b.id)),
      gone,
    )
  assert.is(store.describe(a.id).id, a.id)
  store.delete(a.id)
  assert.equal([store.count, store.bytes, disposed], [1, each, ['b', 'a']])
  const small = new ImageStore(each - 1, 60_000, 5)
  assert.is(
    outcomeOf(() => small.add(picture, encoded(disposed, 'large'))),
    `413 | ERR_TOO_LARGE | an encoded photo of 10 x 20 pixels takes ${each} bytes; the store holds ${each - 1} | ` +
      'reduce the photo first, or use POST /v1/segment, which keeps nothing',
  )
  assert.equal([small.count, small.bytes], [0, 0])
  store.close()
  small.close()
  assert.equal([store.count, store.bytes, disposed], [0, 0, ['b', 'a', 'large', 'c']])
  const exact = new ImageStore(each, 60_000, 5)
  exact.add(picture, encoded([], ''))
  exact.close()
})

test('stored photos go when their time is over, and each use begins it again', async () => {
  const disposed: string[] = []
  const now = Date.now
  let later = 0
  Date.now = () => now() + later
  const store = new ImageStore(1e6, 50, 5)
  try {
    const { id, expires } = store.add(picture, encoded(disposed, 'a'))
    later = 20
    store.use(id)
    assert.ok(store.describe(id).expires >= expires + 20)
    later = 1000
    assert.match(
      outcomeOf(() => store.use(id)),
      /was not used for 0\.05 s/,
    )
    await until(() => store.count === 0)
    assert.equal([disposed, store.bytes], [['a'], 0])
  } finally {
    Date.now = now
    store.close()
  }
})

const mask = Uint8Array.from([...[0, 2, 2, 0], ...[0, 2, 0, 255], ...[0, 2, 2, 0]])
const result = {
  ...{ mask, width: 4, height: 3, names: ['a', 'b', 'c'], labels: ['b', 'c'], scores: [0.5, 0.25] },
  ...{ colours: ['#000', undefined, '#0f0'], timings: { crf: 1 }, warnings: ['w'] },
} as unknown as ServiceResult

test('extents are pixels and boxes of each value', () => {
  const extent = extentsOf({ data: mask, width: 4, height: 3 })
  assert.equal(extent(2), { pixels: 5, box: [1, 0, 2, 3] })
  assert.equal(extent(255), { pixels: 1, box: [3, 1, 1, 1] })
  assert.equal(extent(0), { pixels: 6, box: [0, 0, 4, 3] })
  assert.equal(extent(1), { pixels: 0, box: null })
})

test('labels have scores, boxes, colours and shapes', () => {
  const map = { data: mask, width: 4, height: 3 }
  const b = { name: 'b', index: 1, score: 0.5, pixels: 5, box: [1, 0, 2, 3], color: '#008000' }
  const c = { name: 'c', index: 2, score: 0.25, pixels: 0, box: null, color: '#00ff00' }
  const rle = (value: number) => compressRle(encodeRle(map, value))
  assert.equal(labelsOf(result, 'none'), { labels: [b, c], background: 6, ignored: 1 })
  assert.equal(labelsOf(result, 'rle'), {
    labels: [
      { ...b, rle: rle(2) },
      { ...c, rle: rle(3) },
    ],
    ...{ background: 6, ignored: 1, ignoredRle: rle(255) },
  })
  const polygons = traceRegions(map, 2).map(joinHoles)
  assert.equal(labelsOf({ ...result, presence: Float32Array.from([1, 0]) } as ServiceResult, 'polygons').labels, [
    { ...b, presence: 1, polygons },
    { ...c, presence: 0, polygons: [] },
  ])
  const sure = { ...result, mask: mask.map((value) => (value === 255 ? 0 : value)) } as ServiceResult
  assert.is('ignoredRle' in labelsOf(sure, 'rle'), false)
})

test('a JSON answer has its confidence and its maps as grey pictures', async () => {
  const numbers = (...values: number[]) => Float32Array.from({ length: 12 }, (_, i) => values[i] ?? 0)
  const grey = async (png: string) => [...(await sharp(Buffer.from(png, 'base64')).toColourspace('b-w').raw().toBuffer())]
  const bytes = (...values: number[]) => Array.from({ length: 12 }, (_, i) => values[i] ?? 0)
  const plain = await jsonAnswer(result, 'none')
  const { labels, ...rest } = plain
  assert.equal(rest, { width: 4, height: 3, background: 6, ignored: 1, timings: { crf: 1 }, warnings: ['w'] })
  assert.equal(labels, labelsOf(result, 'none').labels)
  const cams = Float32Array.from([...numbers(1, 0.5), ...numbers(0, 0.25)])
  const whole = await jsonAnswer({ ...result, cams, confidence: numbers(0, 0, 1) } as ServiceResult, 'none')
  assert.equal(await grey(whole.confidence as string), bytes(0, 0, 255))
  assert.equal(await grey(whole.labels[0]?.cam as string), bytes(255, 128))
  assert.equal(await grey(whole.labels[1]?.cam as string), bytes(0, 64))
  const { channels, width, height } = await sharp(Buffer.from(whole.confidence as string, 'base64')).metadata()
  assert.equal([channels, width, height], [1, 4, 3])
})

test.run()
