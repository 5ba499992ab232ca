// POST /v1/batches: what is refused, and what a backend gets. test/machines has workers behind it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { BatchContext, BatchState, BatchTask, RunningServer } from '../../server/src/index.js'
import { Callbacks } from '../../server/src/remote/callbacks.js'
import { type PhotoHost, rejected, resolverOf, startPhotoHost } from './remote_support.js'
import { postJson, problem, startServer } from './support.js'

const folder = mkdtempSync(join(tmpdir(), 'clip-es-batches-'))
const tasks: BatchTask[] = []
let context: BatchContext
let server: RunningServer

const state = (more: Partial<BatchState> = {}): BatchState => ({
  ...{
    id: 'b1',
    state: 'waiting',
    created: '2030-01-01T00:00:00.000Z',
    photos: 2,
    done: 0,
    failed: 0,
    failures: [],
    folder: 'b/b1',
  },
  ...more,
})

test.before(async () => {
  writeFileSync(join(folder, 'mask.png'), 'a mask')
  server = await startServer({
    remoteHosts: ['photos.test'],
    callbackHosts: ['done.test'],
    limits: { batchPhotos: 4, batches: 7 },
    async batches(given) {
      context = given
      return {
        async add(task) {
          tasks.push(task)
          return state()
        },
        get: (id) => (id === 'b1' ? state({ state: 'running', done: 1 }) : undefined),
        mask: (_, name) => (name === 'cats/1' ? join(folder, 'mask.png') : undefined),
        remove: async (id) => id === 'b1',
        close: async () => {},
      }
    },
  })
})
test.after(async () => {
  await server.close()
  rmSync(folder, { recursive: true })
})

const send = (body: object) => postJson(server, '/v1/batches', body)

test('a backend gets photos with names, classes with their prompts, and options', async () => {
  const response = await send({
    photos: ['cats/1.JPG', 'https://photos.test/a/b%20c.png?x=1', { path: 'd.jpg', name: 'other/name', labels: ['cat', 1] }],
    classes: ['cat', { name: 'dog', synonyms: ['puppy'] }],
    background: ['grass'],
    crf: true,
    callback: 'https://done.test/batch',
  })
  assert.is(response.status, 202)
  assert.is(response.headers.get('location'), '/v1/batches/b1')
  assert.equal(await response.json(), state())
  const task = tasks.at(-1) as BatchTask
  assert.equal(task.photos, [
    { name: 'cats/1', path: 'cats/1.JPG' },
    { name: 'b c', url: 'https://photos.test/a/b%20c.png?x=1' },
    { name: 'other/name', path: 'd.jpg', labels: ['cat', 1] },
  ])
  assert.equal(task.classes.classes, [{ name: 'cat' }, { name: 'dog', synonyms: ['puppy'] }])
  assert.equal([task.classes.background, task.options.crf, task.callback], [['grass'], true, 'https://done.test/batch'])
  assert.is(context.mostBatches, 7)
})

test('a class set brings its prompts', async () => {
  await send({ photos: ['a.jpg'], classes: 'voc', labels: 'auto' })
  const { classes, options } = tasks.at(-1) as BatchTask
  assert.is(classes.classes.length, 20)
  assert.is(options.labels, 'auto')
})

test('what is refused, and why', async () => {
  const refuses = async (body: object, status: number, message: RegExp) => {
    const count = tasks.length
    assert.match(JSON.stringify(await problem(await send({ classes: ['cat'], ...body }), status)), message)
    assert.is(tasks.length, count)
  }
  await refuses({}, 400, /lacks 'photos'/)
  await refuses({ photos: [] }, 400, /has 0 elements; expected at least 1/)
  await refuses({ photos: ['a', 'b', 'c', 'd', 'e'] }, 400, /has 5 photos; at most 4 are allowed: send several batches/)
  await refuses({ photos: ['a.jpg'], format: 'json' }, 400, /unknown option 'format'/)
  for (const path of ['../a.jpg', '/etc/passwd', 'a/../../b.jpg', 'a//b.jpg', './a.jpg', 'a\\b.jpg', ''])
    await refuses({ photos: [{ path }] }, 400, /expected a path such as cats\/1, without '\.\.' and not from the root/)
  await refuses({ photos: [{ path: 'a.jpg', name: '../out' }] }, 400, /the name of a photo is/)
  await refuses({ photos: [{ name: 'a' }] }, 400, /has neither path nor url/)
  await refuses({ photos: [{ path: 'a.jpg', url: 'https://photos.test/a' }] }, 400, /has both path and url/)
  await refuses({ photos: ['a.jpg', 'a.png'] }, 400, /two photos of the batch have the name a/)
  await refuses({ photos: ['https://other.test/a.jpg'] }, 403, /photos are not fetched from the host other\.test/)
  await refuses({ photos: ['a.jpg'], callback: 'https://photos.test/' }, 403, /callbacks are not sent to the host photos\.test/)
  await refuses({ photos: ['a.jpg'], callback: 'file:///etc/passwd' }, 403, /the callback's URL begins with file:/)
  await refuses({ photos: ['a.jpg'], callback: 'https://user:secret@done.test/' }, 403, /has a user name or a password/)
})

test('state, masks and the end of a batch', async () => {
  const get = (path: string) => fetch(`${server.url}/v1/batches/${path}`)
  assert.equal(await (await get('b1')).json(), state({ state: 'running', done: 1 }))
  assert.match((await problem(await get('b2'), 404)).detail, /there is no batch b2/)
  const mask = await get('b1/masks/cats/1')
  assert.equal([mask.headers.get('content-type'), await mask.text()], ['image/png', 'a mask'])
  assert.match((await problem(await get('b1/masks/cats/2'), 404)).detail, /has no mask cats\/2/)
  await problem(await get('b2/masks/cats/1'), 404)
  const remove = (id: string) => fetch(`${server.url}/v1/batches/${id}`, { method: 'DELETE' })
  assert.is((await remove('b1')).status, 204)
  await problem(await remove('b2'), 404)
})

test('a server without a backend says how to get one', async () => {
  const other = await startServer({ segmenter: server.service.segmenter })
  const answer = await problem(await postJson(other, '/v1/batches', { photos: ['a.jpg'], classes: ['cat'] }), 404)
  assert.match(answer.remedy as string, /clip-es serve --batch-queue redis:/)
  await other.close()
})

const signal = new AbortController().signal

async function withHost(statuses: number[], work: (host: PhotoHost, bodies: string[]) => Promise<void>): Promise<void> {
  const bodies: string[] = []
  const host = await startPhotoHost(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    bodies.push(body)
    response.writeHead(statuses.shift() ?? 200, { location: 'http://127.0.0.1:1/' }).end()
  })
  await work(host, bodies).finally(() => host.close())
}

const callbacksTo = ({ port }: PhotoHost, more = {}) =>
  new Callbacks({
    ...{ time: 5000, pauses: [1, 1], resolve: resolverOf({ 'done.test': ['127.0.0.1'] }) },
    privateHosts: [`done.test:${port}`],
    ...more,
  })

test('a callback is sent as JSON, again until it is answered with 2xx', () =>
  withHost([500, 404, 204], async (host, bodies) => {
    await callbacksTo(host).send(`http://done.test:${host.port}/x`, { id: 'é' }, signal)
    assert.equal(bodies, ['{"id":"é"}', '{"id":"é"}', '{"id":"é"}'])
    const { host: _, ...headers } = host.requests[0]?.headers ?? {}
    assert.equal(
      [host.requests[0]?.method, headers],
      [
        'POST',
        { 'user-agent': 'clip-es-server', 'content-type': 'application/json', 'content-length': '11', connection: 'close' },
      ],
    )
  }))

test('a callback that is never answered well, and one that redirects, end with the reason', async () => {
  await withHost([500, 500, 500, 200], async (host, bodies) => {
    const error = await rejected(callbacksTo(host).send(`http://done.test:${host.port}/x`, {}, signal))
    assert.match(error.message, /the callback http:\/\/done\.test:\d+\/x was answered with the status 500/)
    assert.is(bodies.length, 3)
  })
  await withHost([302, 302, 302], async (host) => {
    const error = await rejected(callbacksTo(host).send(`http://done.test:${host.port}/`, {}, signal))
    assert.match(error.message, /the status 302/)
  })
})

test('a callback to a host whose address is private is refused at once, whatever its name was when the batch came', () =>
  withHost([], async (host, bodies) => {
    const callbacks = callbacksTo(host, { privateHosts: [], remoteHosts: [`done.test:${host.port}`] })
    callbacks.check(`http://done.test:${host.port}/`)
    const error = await rejected(callbacks.send(`http://done.test:${host.port}/`, {}, signal))
    assert.match(`${error.status} ${error.message} ${error.remedy}`, /^403 .*not of the public internet.*--private-callback-host/)
    assert.equal(bodies, [])
  }))

test('every status of 2xx is an answer, a host that is silent is not one, and what failed says what to do', async () => {
  await withHost([200, 299], async (host, bodies) => {
    for (const path of ['a', 'b']) await callbacksTo(host).send(`http://done.test:${host.port}/${path}`, {}, signal)
    assert.is(bodies.length, 2)
  })
  for (const status of [300, 404])
    await withHost([status], async (host) => {
      const url = `http://done.test:${host.port}/x`
      const { message, remedy } = await rejected(callbacksTo(host, { pauses: [] }).send(url, {}, signal))
      assert.equal([message, remedy], [`the callback ${url} was answered with the status ${status}`, 'answer it with 200'])
    })
  const silent = await startPhotoHost(() => undefined)
  const url = `http://done.test:${silent.port}/x`
  const error = await rejected(callbacksTo(silent, { time: 50, pauses: [] }).send(url, {}, signal))
  assert.equal([error.message, error.remedy], [`the callback ${url} was not answered within 0.05 s`, 'check the host'])
  await silent.close()
  const gone = await rejected(callbacksTo(silent, { pauses: [] }).send(url, {}, signal))
  assert.equal([gone.message, gone.remedy], [`the callback ${url} cannot be sent (ECONNREFUSED)`, 'check the URL and its host'])
})

test('sending ends when the server closes', () =>
  withHost([500], async (host) => {
    const stop = new AbortController()
    const sending = callbacksTo(host, { pauses: [60_000] }).send(`http://done.test:${host.port}/`, {}, stop.signal)
    setTimeout(() => stop.abort(new Error('closing')), 50)
    assert.is(await sending.catch(({ message }) => message), 'closing')
  }))

test.run()
