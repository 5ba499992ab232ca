// What the server says about itself: OpenAPI, its page, health, metrics.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunningServer } from '../../server/src/index.js'
import { questionSchema } from '../../server/src/request/schema.js'
import { post, sceneFile, startServer } from './support.js'

let server: RunningServer
test.before(async () => {
  server = await startServer()
})
test.after(() => server.close())

const text = async (path: string): Promise<string> => await (await fetch(`${server.url}${path}`)).text()

interface Described {
  openapi: string
  paths: Record<string, Record<string, { parameters?: { name: string }[]; responses?: Record<string, unknown> }>>
}

test('OpenAPI 3.1 describes every route, with the options that validate', async () => {
  const { openapi, paths } = JSON.parse(await text('/openapi.json')) as Described
  assert.is(openapi, '3.1.0')
  for (const [path, method] of [
    ['/v1/segment', 'post'],
    ['/v1/images', 'post'],
    ['/v1/images/{id}', 'delete'],
    ['/v1/images/{id}/segment', 'post'],
    ['/v1/classes', 'post'],
    ['/v1/batches', 'post'],
    ['/v1/batches/{id}', 'get'],
    ['/v1/model', 'get'],
    ['/health/ready', 'get'],
    ['/metrics', 'get'],
  ] as const)
    assert.ok(paths[path]?.[method], `${method} ${path}`)
  const options = paths['/v1/segment']?.post?.parameters?.map(({ name }) => name)
  assert.equal(options?.sort(), Object.keys(questionSchema.properties ?? {}).sort())
})

test('the page of it needs nothing from elsewhere, and no script', async () => {
  const html = await text('/docs')
  assert.match(html, '/v1/images/{id}/segment')
  assert.not.match(html, /<script|src=|https?:\/\//)
})

test('metrics count requests by result, photos and stages', async () => {
  const before = await text('/metrics')
  assert.match(before, 'clip_es_ready 1')
  await post(server, '/v1/segment?classes=emoji', sceneFile('scene01'))
  await post(server, '/v1/segment?classes=emoji', 'no photo')
  const after = await text('/metrics')
  assert.match(after, 'clip_es_requests_total{method="POST",route="/v1/segment",status="200"} 1')
  assert.match(after, 'clip_es_requests_total{method="POST",route="/v1/segment",status="400"} 1')
  assert.match(after, 'clip_es_photos_total 1')
  assert.match(after, 'clip_es_stage_seconds_count{stage="encode"} 1')
  assert.match(after, /process_resident_memory_bytes \d+/)
})

test.run()
