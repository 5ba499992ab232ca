// The plugin in an application that has its own routes, parsers, errors and limits; and the client against it.
import fastify from 'fastify'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { clipEs, type RunningServer } from '../../server/src/index.js'
import { Segmenter } from '../../ts/index.js'
import { readMask } from '../../ts/photos/index.js'
import { sceneFile, sceneLabels, startServer } from './support.js'

const photo = new Blob([new Uint8Array(sceneFile('scene01'))])
const labels = sceneLabels('scene01')
let server: RunningServer
let program: typeof import('../../server/src/client/index.mjs', { with: { 'resolution-mode': 'import' }})
type ClientError = InstanceType<typeof program.ClientError>

test.before(async () => {
  program = await import('../../server/src/client/index.mjs') // an ES module
  server = await startServer({ keys: ['the-key-of-the-client-test'] })
})
test.after(() => server.close())

const client = () => new program.Client(server.url, { key: 'the-key-of-the-client-test' })

/** What a promise rejects with, which must be an answer of the server. */
async function refusal(promise: Promise<unknown>): Promise<ClientError> {
  const error = await promise.catch((reason: unknown) => reason)
  assert.instance(error, program.ClientError)
  return error as ClientError
}

test('an application keeps its own body parsers, errors and unknown paths; a shared segmenter is not closed', async () => {
  const segmenter = await Segmenter.load({ threads: 1 })
  const app = fastify({ bodyLimit: 100 })
  app.addContentTypeParser('image/png', { parseAs: 'string' }, (_, body, done) => done(null, `text of ${body.length}`))
  app.setErrorHandler((error, _, reply) => reply.code(418).send({ mine: (error as Error).message }))
  app.post('/own', async ({ body }) => ({ body }))
  app.get('/broken', async () => {
    throw new Error('of the application')
  })
  await app.register(clipEs, { prefix: '/clip', segmenter })
  const url = await app.listen({ port: 0 })
  try {
    const own = await fetch(`${url}/own`, { method: 'POST', body: 'hello', headers: { 'content-type': 'image/png' } })
    assert.equal(await own.json(), { body: 'text of 5' })
    assert.is(own.headers.get('x-content-type-options'), null)
    const broken = await fetch(`${url}/broken`)
    assert.equal([broken.status, await broken.json()], [418, { mine: 'of the application' }])
    assert.is((await fetch(`${url}/v1/model`)).status, 404)
    const mounted = new program.Client(`${url}/clip/`)
    assert.is((await mounted.about()).model.demo, true)
    const answer = await mounted.segment(photo, { classes: 'emoji', labels })
    assert.equal(
      answer.labels.map(({ name }) => name),
      labels,
    )
    assert.is((await refusal(mounted.segment(photo, { classes: [] }))).problem.code, 'ERR_INVALID_ARG')
  } finally {
    await app.close()
  }
  await segmenter.encodeClasses(['still', 'open'])
  await segmenter.close()
})

test('the client: masks, kept photos, class sets with commas in words, errors with their codes', async () => {
  const { width, height } = await readMask(
    Buffer.from(await (await client().render(photo, 'mask', { classes: 'emoji' })).arrayBuffer()),
  )
  assert.equal([width, height], [320, 240])
  const { id } = await client().addImage(photo)
  const kept = await client().segmentImage(id, {
    classes: ['black cat, white paws', 'panda'],
    shapes: 'polygons',
    crf: { rounds: 2 },
  })
  assert.is(kept.labels[0]?.name, 'black cat, white paws')
  assert.is((await (await client().renderImage(id, 'raw', { classes: 'emoji' })).arrayBuffer()).byteLength, 320 * 240)
  await client().deleteImage(id)
  await client().storeClasses('pets', { classes: [{ name: 'cat' }, { name: 'dog' }] })
  assert.ok((await client().classSets()).some(({ name, builtIn }) => name === 'pets' && !builtIn))
  await client().deleteClasses('pets')
  const gone = await refusal(client().segmentImage(id, { classes: 'emoji' }))
  assert.equal([gone.problem.status, gone.problem.code, gone.retryAfter], [404, 'ERR_NOT_FOUND', undefined])
  assert.match(gone.message, 'POST /v1/images again')
  assert.is((await refusal(new program.Client(server.url).about())).problem.code, 'ERR_UNAUTHORIZED')
})

test('a call of the client can be aborted, and another server is named as such', async () => {
  const aborted = client().segment(photo, { classes: 'emoji' }, { signal: AbortSignal.abort() })
  assert.is(await aborted.catch(({ name }) => name), 'AbortError')
  const proxy = async () => new Response('<h1>Bad gateway</h1>', { status: 502, headers: { 'content-type': 'text/html' } })
  const other = await refusal(new program.Client(server.url, { fetch: proxy }).about())
  assert.match(other.message, 'the answer has the status 502 and is not from clip-es')
})

test.run()
