// The server's description of itself as a whole. A change of it must be intended: it shows in a file that is committed. No engine is needed.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fastify, { type FastifyInstance } from 'fastify'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { clipEs, defaultLimits, logLevels } from '../../server/src/index.js'
import { renderDocs } from '../../server/src/routes/docs_page.js'
import { backgrounds, defaults, type Segmenter, templates } from '../../ts/index.js'
import { packageVersion } from '../../ts/support/index.js'
import { root } from './support.js'

const snapshot = join(root, 'test/server/openapi.snapshot.json')
const update = 'UPDATE_API=1 node --import tsx test/server/13.description_snapshot.ts'
const model = { path: '/models/x.pt', width: 4, photosAtATime: 2, fingerprint: 'f' }

let app: FastifyInstance
test.before(async () => {
  app = fastify()
  await app.register(clipEs, { segmenter: { model } as unknown as Segmenter })
})
test.after(() => app.close())

/** The same description, but a part that is there already is the path to its first place. */
function withoutRepeats(value: unknown, seen = new Map<string, string>(), path = ''): unknown {
  if (typeof value !== 'object' || value === null) return value
  const text = JSON.stringify(value)
  const first = seen.get(text)
  if (first !== undefined && text.length > 100) return `as ${first}`
  seen.set(text, path)
  if (Array.isArray(value)) return value.map((part, i) => withoutRepeats(part, seen, `${path}[${i}]`))
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, withoutRepeats(part, seen, `${path}.${name}`)]))
}

test('OpenAPI is that of test/server/openapi.snapshot.json', async () => {
  const { info, ...rest } = (await app.inject('/openapi.json')).json()
  assert.is(info.version, packageVersion())
  const text = `${JSON.stringify(withoutRepeats({ info: { ...info, version: '' }, ...rest }), null, 1)}\n`
  if (process.env.UPDATE_API) writeFileSync(snapshot, text)
  const message = `the description of the API has changed. If that is intended, update the documents and run: ${update}`
  assert.fixture(text, readFileSync(snapshot, 'utf8'), message)
})

test('limits have these defaults, and logs these levels', () => {
  assert.equal(defaultLimits, {
    ...{ photoBytes: 33554432, photoPixels: 50000000, photoFrames: 100, words: 300, jsonBytes: 1048576, uploadBytes: 536870912 },
    ...{ queue: 64, requestTime: 60000, uploadTime: 30000, storeBytes: 1073741824, storeTime: 600000, classSets: 64 },
    ...{ batchPhotos: 10000, batches: 100 },
  })
  assert.ok(Object.isFrozen(defaultLimits))
  assert.equal(logLevels, ['debug', 'info', 'warn', 'error'])
})

test('GET /v1/model has all that a user interface needs', async () => {
  const { classSets, ...about } = (await app.inject('/v1/model')).json()
  assert.equal(about, {
    model: { name: 'x.pt', width: 4, photosAtATime: 2, fingerprint: 'f' },
    limits: defaultLimits,
    defaults: { ...defaults, template: templates.clip_es, refine: true, crf: false },
    backgrounds: { voc: backgrounds.voc, coco: backgrounds.coco },
  })
  assert.equal(
    classSets.map(({ name, builtIn }: { name: string; builtIn: boolean }) => [name, builtIn]),
    ['voc', 'coco', 'emoji'].map((name) => [name, true]),
  )
})

test('health answers, and every answer has all security headers', async () => {
  const answer = await app.inject('/health/live')
  assert.equal([answer.statusCode, answer.json()], [200, { status: 'ok' }])
  assert.equal((await app.inject('/health/ready')).json(), { status: 'ok' })
  const { 'x-request-id': id, date, connection, 'content-length': length, ...headers } = answer.headers
  assert.equal(headers, {
    'content-type': 'application/json; charset=utf-8',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'no-referrer',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'cache-control': 'no-store',
    'cross-origin-resource-policy': 'same-origin',
  })
})

test('files of the page have their kinds of content and the headers of pages', async () => {
  const page = { 'cross-origin-opener-policy': 'same-origin', 'permissions-policy': 'camera=(), microphone=(), geolocation=()' }
  const policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; " +
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
  for (const [path, type] of [
    ['/', 'text/html; charset=utf-8'],
    ['/page/index.html', 'text/html; charset=utf-8'],
    ['/page/page.js', 'text/javascript; charset=utf-8'],
    ['/page/page.css', 'text/css; charset=utf-8'],
    ['/page/icon.svg', 'image/svg+xml'],
    ['/page/scenes/scene02.png', 'image/png'],
  ] as const) {
    const { headers, statusCode, rawPayload } = await app.inject(path)
    const { 'content-security-policy': own, 'cache-control': cache, 'content-type': kind, etag } = headers
    assert.equal([statusCode, own, cache, kind], [200, policy, 'no-cache', type], path)
    for (const [name, value] of Object.entries(page)) assert.is(headers[name], value)
    assert.match(etag as string, /^"[\w-]{22}"$/)
    assert.ok(rawPayload.length > 0)
    const again = await app.inject({ url: path, headers: { 'if-none-match': etag as string } })
    assert.equal([again.statusCode, again.body, again.headers.etag], [304, '', etag])
  }
  assert.is((await app.inject('/page/none.js')).json().detail, "the page has no file 'none.js'")
  assert.is((await app.inject('/page/scenes/none.png')).json().detail, "there is no demo scene 'none.png'")
})

test('the page of a description shows what each kind of schema takes, and escapes its texts', () => {
  const operation = {
    ...{ summary: 'Does <it>', description: 'At length & more' },
    parameters: [
      { name: 'a', in: 'query', schema: { type: 'string', description: 'of the schema' } },
      { name: 'b', in: 'path', description: 'its own', schema: { const: 'x' } },
      { name: 'c', in: 'query' },
    ],
    requestBody: {
      content: {
        'application/json': {
          schema: {
            type: 'object',
            properties: {
              choice: { enum: [1, 'two'] },
              either: { oneOf: [{ type: 'string' }, { type: 'array', items: { type: 'number' } }] },
              list: { type: 'array', items: { oneOf: [{ type: 'string' }, { type: 'integer' }] } },
              object: { type: 'object', properties: { p: {}, q: {} } },
              bare: { type: 'object' },
              date: { type: 'string', format: 'date-time' },
              several: { type: ['array', 'null'] },
            },
          },
        },
        'image/*': { schema: { type: 'string', description: 'A file' } },
        'text/plain': {},
      },
    },
    responses: { 200: { description: 'Good', content: { 'image/png': { schema: {} } } }, 404: {} },
  }
  const info = { title: 'T&T', description: 'A <b>.', version: '1.2' }
  const { html, policy } = renderDocs({ info, paths: { '/a/{id}': { post: operation, get: {} } } })
  const row = (name: string, kind: string, text = '') =>
    `<tr><td><code>${name}</code></td><td><code>${kind}</code></td><td>${text}</td></tr>`
  const table = (...rows: string[]) =>
    `<table><thead><tr><th>Name</th><th>Type</th><th></th></tr></thead><tbody>${rows.join('')}</tbody></table>`
  const rows = [
    ...[row('choice', '1 | &#34;two&#34;'), row('either', 'string | number[]'), row('list', '(string | integer)[]')],
    ...[row('object', '{ p, q }'), row('bare', 'object'), row('date', 'date-time'), row('several', 'array | null')],
  ]
  const query = table(row('a', 'string', 'of the schema'), row('b (path)', '&#34;x&#34;', 'its own'), row('c', 'anything'))
  const about = (type: string, text: string) => `<details><summary><code>${type}</code></summary>${text}</details>`
  const body = [about('application/json', table(...rows)), about('image/*', '<p>A file</p>'), about('text/plain', '<p></p>')]
  const style = html.slice(html.indexOf('<style>') + 7, html.indexOf('</style>'))
  assert.is(
    html.replace(style, ''),
    `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>T&#38;T API</title>
<style></style></head><body><main><h1>T&#38;T API 1.2</h1>
<p>A &#60;b&#62;. For programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p>
<section id="post-a-id-"><h2><span class="method">POST</span> <code>/a/{id}</code></h2>
<p>Does &#60;it&#62;</p><p>At length &#38; more</p>
<details><summary>Parameters</summary>${query}</details>
<h3>Body</h3>${body.join('')}
<h3>Answers</h3><p><strong>200</strong> Good</p>${about('image/png', '<p></p>')}<p><strong>404</strong> </p></section>
<section id="get-a-id-"><h2><span class="method">GET</span> <code>/a/{id}</code></h2>
<p></p>


</section></main></body></html>
`,
  )
  assert.match(policy, /^default-src 'none'; style-src 'sha256-[\w+/]{43}='; base-uri 'none'; frame-ancestors 'none'$/)
})

test.run()
