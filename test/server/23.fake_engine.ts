// Routes with a stand-in for the engine: what it is asked, and whole answers. Nothing is computed.
import fastify, { type FastifyInstance } from 'fastify'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { clipEs, type ServerOptions } from '../../server/src/index.js'
import { encodeBrush } from '../../ts/formats/brush_rle.js'
import type { Segmenter, SegmentOptions } from '../../ts/index.js'
import { packageVersion } from '../../ts/support/index.js'
import { until } from './support.js'

const asked: SegmentOptions[] = []
let disposed = 0
const result = (names: readonly string[], auto: boolean) => ({
  ...{ mask: Uint8Array.from([1, 1, 0, 255]), width: 2, height: 2, labels: [names[0]], scores: Float32Array.from([0.5]) },
  ...(auto && { presence: Float32Array.from([0.25]) }),
  ...{ confidence: Float32Array.from([1, 1, 1, 1]), cams: Float32Array.from([1, 1, 0, 0]), timings: { encode: 1 } },
})
const segment = async ({ names }: { names: string[] }, options: SegmentOptions) => {
  const { signal, ...rest } = options
  assert.instance(signal, AbortSignal)
  asked.push(rest)
  return result(names, options.labels === 'auto')
}
const segmenter = {
  model: { path: '/models/x.pt', width: 4, photosAtATime: 1 },
  encodeClasses: async (specs: readonly (string | { name: string })[]) => ({
    names: specs.map((spec) => (typeof spec === 'string' ? spec : spec.name)),
    droppedBackground: specs.length === 3 ? ['sky', 'sea'] : [],
  }),
  segment: async (_: unknown, classes: { names: string[] }, options: SegmentOptions) => await segment(classes, options),
  encode: async () => ({ grid: { width: 2, height: 2 }, segment, dispose: () => disposed++ }),
  close: () => assert.unreachable('a segmenter that was given is not closed'),
} as unknown as Segmenter

async function start(options: ServerOptions = {}): Promise<FastifyInstance> {
  const app = fastify()
  await app.register(clipEs, { segmenter, ...options })
  return app
}
let app: FastifyInstance
let photo: Buffer
let base64: string
test.before(async () => {
  app = await start()
  photo = await sharp({ create: { width: 2, height: 2, channels: 3, background: 'red' } })
    .png()
    .toBuffer()
  base64 = photo.toString('base64')
})
test.after(() => app.close())
test.before.each(() => {
  asked.length = 0
})

/** Status and body of an answer. */
async function post(
  url: string,
  body: object | Buffer,
  on = app,
): Promise<[status: number, body: Record<string, unknown> & unknown[]]> {
  const headers = Buffer.isBuffer(body) ? { 'content-type': 'image/png' } : {}
  const answer = await on.inject({ method: 'POST', url, payload: body, headers })
  return [answer.statusCode, answer.body === '' ? ({} as never) : answer.json()]
}
const detail = async (url: string, body: object | Buffer, status: number, on = app): Promise<string> => {
  const [found, problem] = await post(url, body, on)
  assert.is(found, status, JSON.stringify(problem))
  return problem.detail as string
}

const config = (attributes = '', tag = 'BrushLabels') =>
  `<View><Image name="i" value="$image"/><${tag} name="b" toName="i" ${attributes}><Label value="cat"/></${tag}></View>`
const version = `clip-es ${packageVersion()}, x.pt`
const dataUri = () => `data:image/png;base64,${base64}`

test('Label Studio: health, set-up and webhook have the whole answers that it reads', async () => {
  const health = await app.inject('/health')
  assert.equal([health.statusCode, health.json()], [200, { status: 'UP', model_class: 'ClipEs' }])
  assert.equal(await post('/setup', { schema: config() }), [200, { model_version: version } as never])
  assert.equal(await post('/webhook', {}), [201, { status: 'ok', result: {} } as never])
  assert.match(await detail('/setup', {}, 400), /the labelling configuration is undefined/)
})

test('Label Studio: a prediction has regions with the score, and asks for labels by CLIP', async () => {
  const region = {
    ...{ id: '1', type: 'brushlabels', from_name: 'b', to_name: 'i', original_width: 2, original_height: 2, image_rotation: 0 },
    ...{ value: { format: 'rle', rle: [...encodeBrush(Uint8Array.from([1, 1, 0, 0]))], brushlabels: ['cat'] }, score: 0.25 },
  }
  const prediction = { model_version: version, score: 0.25, result: [region] }
  const task = { id: 1, data: { image: dataUri() } }
  const answer = { results: [prediction] } as never
  assert.equal(await post('/predict', { tasks: [task], label_config: config() }), [200, answer])
  assert.equal(asked, [{ labels: 'auto' }])
  assert.equal(await post('/predict', { tasks: task, label_config: config('model_crf="true" model_labels="cat"') }), [
    200,
    { results: [{ ...prediction, score: 0.5, result: [{ ...region, score: 0.5 }] }] } as never,
  ])
  assert.equal(asked[1], { labels: ['cat'], crf: true })
  assert.equal(await post('/predict', { tasks: [], label_config: config() }), [200, { results: [] } as never])
  const two = config().replace(
    '</View>',
    config('', 'RectangleLabels')
      .replace(/^.*?(?=<Rect)/, '')
      .replace('name="b"', 'name="c"'),
  )
  const [, { results }] = await post('/predict', { tasks: [task], label_config: two })
  assert.equal(
    (results as { result: { type: string; id: string }[] }[])[0]?.result.map(({ type, id }) => [type, id]),
    [
      ['brushlabels', '1'],
      ['rectanglelabels', '2'],
    ],
  )
  assert.is(asked.length, 3, 'tags that ask the same share a result')
})

test('Label Studio: what is wrong with a task or its photo is said in its prediction, and with all of them by the status', async () => {
  const ask = (...images: unknown[]) => ({ tasks: images.map((image) => ({ id: 7, data: { image } })), label_config: config() })
  const task = (shown: string) =>
    `tasks has ${shown}; expected a task of Label Studio, such as {"id": 1, "data": {"image": "https://…"}}`
  for (const [tasks, shown] of [
    [undefined, 'undefined'],
    [null, 'null'],
    [[{ id: 1 }], '{ id: 1 }'],
    [[{ data: null }], '{ data: null }'],
    [[{ data: 'x' }], "{ data: 'x' }"],
  ] as const)
    assert.is(await detail('/predict', { tasks, label_config: config() }, 400), task(shown))
  const [, { results }] = await post('/predict', ask(dataUri(), 'photo.png'))
  assert.equal((results as unknown[])[1], {
    ...{ model_version: version, result: [], score: 0 },
    error: "the photo is 'photo.png'; expected a URL, a path of Label Studio such as /data/upload/1/photo.jpg, or a data URI",
  })
  for (const [image, message] of [
    [undefined, "the data of the task has no 'image'; expected the address of its photo"],
    ['', "the data of the task has '' as 'image'; expected the address of its photo"],
    [7, "the data of the task has 7 as 'image'; expected the address of its photo"],
    ['data:image/png,abc', 'the data URI of the photo is not in base64'],
    ['data:;base64', 'the data URI of the photo is not in base64'],
    ['data:image/png;base64,', 'the data URI of the photo is not a photo in base64'],
    ['/data/upload/1.png', "the photo '/data/upload/1.png' is in Label Studio, and the server does not know where that is"],
    ['s3://b/1.png', "the photo 's3://b/1.png' is in Label Studio, and the server does not know where that is"],
  ] as const)
    assert.is(await detail('/predict', ask(image), 400), message)
  assert.match(await detail('/predict', ask('http://h.test/a.png'), 403), /photos are not fetched from the host h\.test/)
})

test('CVAT: masks, polygons and regions, with the threshold and the options of the query', async () => {
  const shape = { label: 'cat', confidence: '0.25', type: 'mask', mask: [1, 1, 0, 0, 1, 0] }
  const [status, [first]] = await post('/cvat', { image: base64, classes: ['cat'] })
  const { points, ...rest } = first as { points: number[] }
  assert.equal([status, rest], [200, shape])
  assert.equal(points.length % 2, 0)
  await post('/cvat?crf=true&labels=cat&classes=cat&regions=true', { image: base64, threshold: 0.75 })
  await post('/cvat?regions=false&type=mask', { image: base64, classes: ['cat'], threshold: null })
  assert.equal(asked, [{ labels: 'auto' }, { labels: ['cat'], labelThreshold: 0.75, crf: true }, { labels: 'auto' }])
  const [, [polygon]] = await post('/cvat?type=polygon&classes=voc', { image: base64 })
  assert.equal(Object.keys(polygon as object), ['label', 'confidence', 'type', 'points', 'group_id'])
  assert.is(
    await detail('/cvat?regions=1', { image: base64, classes: ['cat'] }, 400),
    "cvat: regions is '1'; expected true or false",
  )
  assert.match(
    await detail('/cvat?type=box', { image: base64, classes: ['cat'] }, 400),
    /^cvat: unknown type 'box'; .*known: mask, polygon$/,
  )
})

test('KServe: the head of a binary answer, and an answer in JSON', async () => {
  const inputs = [
    { name: 'photo', shape: [1], datatype: 'BYTES', data: [base64] },
    { name: 'classes', shape: [1], datatype: 'BYTES', data: ['cat'] },
  ]
  const url = '/v2/models/clip-es/infer'
  const send = (body: object) =>
    app.inject({ method: 'POST', url, payload: body, headers: { 'content-type': 'application/json' } })
  const json = await send({ inputs, outputs: [{ name: 'mask' }] })
  assert.equal(
    [json.statusCode, json.headers['content-type'], json.headers['inference-header-content-length']],
    [...[200, 'application/json; charset=utf-8'], undefined],
  )
  assert.equal(json.json().outputs[0].data, [1, 1, 0, 255])
  const binary = await send({ inputs, outputs: [{ name: 'mask', parameters: { binary_data: true } }] })
  const length = Number(binary.headers['inference-header-content-length'])
  assert.is(binary.headers['content-type'], 'application/octet-stream')
  assert.equal([...binary.rawPayload.subarray(length)], [1, 1, 0, 255])
  assert.is(JSON.parse(binary.rawPayload.toString('utf8', 0, length)).outputs[0].parameters.binary_data_size, 4)
  const none = await app.inject({ method: 'POST', url })
  assert.equal([none.statusCode, Object.keys(none.json())], [400, ['error']])
  const about = (await app.inject('/v2')).json()
  assert.equal(about, { name: 'clip-es', version: packageVersion(), extensions: ['binary_tensor_data', 'parameters'] })
  const { platform, versions, name } = (await app.inject('/v2/models/clip-es')).json()
  assert.equal([platform, versions, name], ['pytorch_torchscript', ['1'], 'clip-es'])
  const other = await app.inject('/v2/models/clip-es/versions/2')
  assert.equal([other.statusCode, other.json()], [404, { error: "there is no version '2'; the version of this server is '1'" }])
})

test('a photo that is kept: its address, its options, and its end', async () => {
  const kept = await app.inject({
    method: 'POST',
    url: '/v1/images?x=1',
    payload: photo,
    headers: { 'content-type': 'image/png' },
  })
  const { id, expires, ...image } = kept.json()
  assert.equal(
    [kept.statusCode, kept.headers.location, image],
    [201, `/v1/images/${id}`, { width: 2, height: 2, bytes: 24 + 64 + 512 }],
  )
  assert.match(expires, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  assert.ok(Math.abs(Date.parse(expires) - Date.now() - 600_000) < 60_000)
  const described = (await app.inject(`/v1/images/${id}`)).json()
  assert.equal({ ...described, expires: '' }, { id, ...image, expires: '' })
  const [, answer] = await post(`/v1/images/${id}/segment?crf=true&flip=true&format=json`, {
    classes: ['cat', 'dog', 'bus'],
    flip: false,
  })
  assert.equal(asked, [{ crf: true, flip: false }])
  const { timings, labels, ...rest } = answer
  assert.equal(rest, {
    ...{ width: 2, height: 2, background: 1, ignored: 1, ignoredRle: rest.ignoredRle, confidence: rest.confidence },
    warnings: ['these background words are not used, because they are also classes: sky, sea'],
  })
  assert.equal(Object.keys(timings as object), ['wait', 'words', 'decode', 'encode'])
  assert.is((timings as { decode: number }).decode, 0)
  assert.is((labels as { score: number }[])[0]?.score, 0.5)
  assert.match(await detail(`/v1/images/${id}/segment`, [], 400), /the request is \[\]; expected an object/)
  const gone = await app.inject({ method: 'DELETE', url: `/v1/images/${id}` })
  assert.equal([gone.statusCode, gone.body, disposed], [204, '', 1])
  assert.is((await app.inject(`/v1/images/${id}`)).statusCode, 404)
})

test('class sets are stored with what they say, described and deleted', async () => {
  const set = { name: 'own', classes: ['cat', { name: 'dog' }], template: 'a {}', boxThreshold: 0.5 }
  assert.equal(await post('/v1/classes', set), [201, { ...set, builtIn: false } as never])
  assert.equal((await app.inject('/v1/classes/own')).json(), { ...set, builtIn: false })
  await post('/v1/segment?classes=own&format=json', photo)
  await post('/v1/segment?classes=own&boxThreshold=0.25&format=json', photo)
  assert.equal(asked, [{ boxThreshold: 0.5 }, { boxThreshold: 0.25 }])
  const gone = await app.inject({ method: 'DELETE', url: '/v1/classes/own' })
  assert.equal([gone.statusCode, gone.body], [204, ''])
  for (const name of ['', '.a', 'a b', 'x'.repeat(65)])
    assert.match(await detail('/v1/classes', { ...set, name }, 400), /^classes: name is /)
  assert.is((await post('/v1/classes', { ...set, name: `${'x'.repeat(63)}-` }))[0], 201)
})

test('a server that is closing refuses photos and says so to those who ask for its health', async () => {
  const closing = await start({ page: false })
  await closing.clipEs.drain(1000)
  const message = 'the server is closing; send the request to another one, or again later'
  for (const url of ['/v1/segment?classes=cat', '/v1/images']) assert.is(await detail(url, photo, 503, closing), message)
  for (const [url, body] of [
    ['/health', { status: 'CLOSING', model_class: 'ClipEs' }],
    ['/health/ready', { status: 'closing' }],
    ['/v2/health/ready', { ready: false }],
    ['/v2/models/clip-es/ready', { name: 'clip-es', ready: false }],
  ] as const) {
    const answer = await closing.inject(url)
    assert.equal([answer.statusCode, answer.json()], [503, body])
  }
  assert.is((await closing.inject('/health/live')).statusCode, 200)
  assert.is((await closing.inject('/')).statusCode, 404, 'without its page')
  await closing.close()
})

test('draining waits for requests that run, and ends those that take too long', async () => {
  const other = await start()
  const service = other.clipEs
  const [one, two] = [new AbortController(), new AbortController()]
  const leave = [one, two].map((call) => service.enter(call))
  let drained = false
  const draining = service.drain(20).then(() => {
    drained = true
  })
  await until(() => one.signal.aborted && two.signal.aborted)
  assert.equal([one.signal.reason.code, drained], ['ERR_CLOSED', false])
  leave[0]?.()
  await new Promise((wake) => setTimeout(wake, 20))
  assert.is(drained, false)
  leave[1]?.()
  await draining
  const again = await start()
  const call = new AbortController()
  const end = again.clipEs.enter(call)
  const early = again.clipEs.drain(30)
  end()
  await early
  await new Promise((wake) => setTimeout(wake, 60))
  assert.is(call.signal.aborted, false)
  await Promise.all([other.close(), again.close()])
})

test('files with several pages are read to the first, with a warning, up to a limit', async () => {
  const page = (grey: number) =>
    sharp({ create: { width: 4, height: 4, channels: 3, background: { r: grey, g: 0, b: 0 } } })
      .png()
      .toBuffer()
  const pages = await sharp(await Promise.all([0, 120].map(page)), { join: { animated: true } })
    .webp({ lossless: true })
    .toBuffer()
  const few = await start({ limits: { photoFrames: 2 } })
  const [status, { warnings }] = await post('/v1/segment?classes=cat&format=json', pages, few)
  assert.equal([status, warnings], [200, ['the file has 2 pages; only the first is segmented']])
  const one = await start({ limits: { photoFrames: 1 } })
  assert.is(
    await detail('/v1/segment?classes=cat', pages, 400, one),
    'the image: it has 2 pages; at most 1 are allowed: send the page that you mean',
  )
  await Promise.all([few.close(), one.close()])
})

test.run()
