// An ML backend of Label Studio: requests as Label Studio sends them, answers against the direct API.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunningServer } from '../../server/src/index.js'
import type { ServiceResult } from '../../server/src/service/service.js'
import { decodeBrush } from '../../ts/formats/brush_rle.js'
import type { LabelStudioRegion } from '../../ts/support/index.js'
import { type PhotoHost, startPhotoHost } from './remote_support.js'
import { post, postJson, problem, sceneFile, sceneLabels, startServer } from './support.js'

const scene = sceneFile('scene01')
const words = [...sceneLabels('scene01'), 'dog', 'bus']
const dataUri = (photo: Buffer): string => `data:image/png;base64,${photo.toString('base64')}`

let server: RunningServer
let host: PhotoHost

test.before(async () => {
  host = await startPhotoHost((request, response) => {
    const url = new URL(request.url as string, 'http://x')
    if (url.pathname.startsWith('/data/upload/') && request.headers.authorization !== 'Token secret')
      response.writeHead(401).end()
    else if (url.pathname === '/tasks/7/presign/')
      response.writeHead(303, { location: `/signed/${url.searchParams.get('fileuri')}` }).end()
    else if (url.pathname === '/text.png') response.end('this is not a photo')
    else response.end(scene)
  })
  server = await startServer({ labelStudio: { url: `http://127.0.0.1:${host.port}/`, token: 'secret' } })
})
test.after(async () => {
  await server.close()
  await host.close()
})
test.before.each(() => {
  host.requests.length = 0
})

const label = (word: string): string => `<Label value="${word}" background="#FF0000"/>`
const config = (tag = 'BrushLabels', attributes = ''): string => `
<View>
  <Image name="image" value="$image" zoom="true"/>
  <${tag} name="tag" toName="image" ${attributes}>
    ${words.map(label).join('\n    ')}
  </${tag}>
</View>`

interface Prediction {
  model_version: string
  score?: number
  error?: string
  result: (LabelStudioRegion & { id: string })[]
}

/** A request with all that Label Studio's api_connector sends. */
const body = (images: unknown[], label_config: string): object => ({
  tasks: images.map((image, i) => ({
    ...{ id: 7 + i, data: { image }, meta: {}, created_at: '2026-01-01T00:00:00Z', is_labeled: false, overlap: 1, project: 1 },
    ...{ annotations: [], predictions: [] },
  })),
  model_version: 'INITIAL',
  project: '1.1700000000',
  label_config,
  params: { login: null, password: null, context: null },
})

async function predict(images: unknown[], label_config = config()): Promise<Prediction[]> {
  const response = await postJson(server, '/predict', body(images, label_config))
  assert.is(response.status, 200, await response.clone().text())
  return ((await response.json()) as { results: Prediction[] }).results
}

let cached: ServiceResult | undefined
/** The direct API's result. */
async function direct(): Promise<ServiceResult> {
  const { signal } = new AbortController()
  cached ??= await server.service.segment({ photo: scene, classes: words, options: { labels: 'auto' }, signal })
  return cached
}

/** The mask that brushes paint, which must not overlap. */
function painted({ result }: Prediction): Uint8Array {
  const mask = new Uint8Array(320 * 240)
  for (const { type, value, original_width, original_height } of result) {
    assert.equal([type, value.format, original_width, original_height], ['brushlabels', 'rle', 320, 240])
    const [name] = value.brushlabels as [string]
    for (const [i, inside] of decodeBrush(value.rle as number[], mask.length).entries())
      if (inside) {
        assert.is(mask[i], 0, 'brushes do not overlap')
        mask[i] = words.indexOf(name) + 1
      }
  }
  return mask
}

test('health, setup and the webhook, as Label Studio calls them', async () => {
  const health = await fetch(`${server.url}/health`)
  assert.is(health.status, 200)
  assert.equal(await health.json(), { status: 'UP', model_class: 'ClipEs' })
  const setup = await postJson(server, '/setup', {
    ...{ project: '1.1700000000', schema: config(), hostname: 'http://localhost:8080', access_token: 'abc', extra_params: null },
  })
  assert.is(setup.status, 200)
  const { model_version } = (await setup.json()) as { model_version: string }
  assert.match(model_version, /^clip-es \d+\.\d+\.\d+, .+/)
  assert.is((await predict([dataUri(scene)]))[0]?.model_version, model_version)
  const webhook = await postJson(server, '/webhook', { action: 'ANNOTATION_CREATED', project: { id: 1, label_config: config() } })
  assert.is(webhook.status, 201)
  assert.is(((await webhook.json()) as { status: string }).status, 'ok')
})

test('brushes have the pixels of the direct API: classes that touch, and nothing for those that are not found', async () => {
  const { mask, labels, presence } = await direct()
  assert.ok(labels.length > 1 && labels.length < words.length, labels.join(', '))
  const [prediction, ...others] = (await predict([dataUri(scene)])) as [Prediction]
  assert.equal(others, [])
  assert.equal(painted(prediction), mask)
  for (const { id, from_name, to_name, image_rotation, score, value } of prediction.result) {
    assert.equal([typeof id, from_name, to_name, image_rotation], ['string', 'tag', 'image', 0])
    const of = labels.indexOf((value.brushlabels as string[])[0] as string)
    assert.ok(Math.abs((score as number) - ((presence as Float32Array)[of] as number)) < 1e-5)
  }
  const mean = prediction.result.reduce((sum, { score = 0 }) => sum + score, 0) / prediction.result.length
  assert.ok(Math.abs((prediction.score as number) - mean) < 1e-5)
  assert.is(new Set(prediction.result.map(({ id }) => id)).size, prediction.result.length)
})

test('several tags in one configuration: polygons, rectangles of regions, and aliases', async () => {
  const [word = ''] = (await direct()).labels
  const others = words.filter((other) => other !== word).map(label)
  const tag = (name: string, attributes: string): string =>
    `<${name}Labels name="${name}" toName="img" ${attributes}><Label value="Thing" alias="t" predicted_values="${word}"/>${others}</${name}Labels>`
  const [prediction] = (await predict(
    [dataUri(scene)],
    `<View><Image name="img" value="$image"/>${tag('Polygon', '')}${tag('Rectangle', 'model_regions="true"')}</View>`,
  )) as [Prediction]
  const polygons = prediction.result.filter(({ type }) => type === 'polygonlabels')
  const rectangles = prediction.result.filter(({ type }) => type === 'rectanglelabels')
  assert.ok(polygons.some(({ value }) => (value.polygonlabels as string[])[0] === 't'))
  assert.is(polygons.length, rectangles.length) // one for each region
  for (const [i, { value: box, from_name }] of rectangles.entries()) {
    assert.is(from_name, 'Rectangle')
    const points = polygons[i]?.value.points as [number, number][]
    const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)]
    assert.ok([...xs, ...ys].every((at) => at >= 0 && at <= 100))
    assert.equal([box.x, box.y, box.rotation], [Math.min(...xs), Math.min(...ys), 0])
    assert.ok(Math.abs((box.width as number) - (Math.max(...xs) - Math.min(...xs))) < 1e-5)
  }
})

test('photos by URL, by paths of Label Studio with its token, and in cloud storage', async () => {
  const paths = [
    '/data/upload/1/a.png',
    'upload/1/a.png',
    `http://127.0.0.1:${host.port}/data/upload/1/a.png`,
    's3://bucket/a b.png',
  ]
  const predictions = await predict([`http://127.0.0.1:${host.port}/photo.png`, ...paths])
  const { mask } = await direct()
  for (const prediction of predictions) assert.equal([prediction.error, painted(prediction)], [undefined, mask])
  const asked = host.requests.map(({ url, headers }) => `${url} ${headers.authorization ?? '-'}`).sort()
  assert.equal(
    asked,
    [
      '/photo.png -',
      ...Array.from({ length: 3 }, () => '/data/upload/1/a.png Token secret'),
      '/tasks/11/presign/?fileuri=s3%3A%2F%2Fbucket%2Fa%20b.png Token secret',
    ].sort(),
  )
})

test('the token goes to no other path of Label Studio', async () => {
  const outside = ['/api/users/', '/data/../api/users/', '/tasks/1/', '//evil.test/data/']
  await predict([...outside, dataUri(scene)])
  assert.equal(host.requests.map(({ url }) => url).sort(), ['//evil.test/data/', '/api/users/', '/api/users/', '/tasks/1/'])
  for (const { headers } of host.requests) assert.is(headers.authorization, undefined)
})

test('nothing is found: a prediction without regions', async () => {
  const [prediction] = (await predict([dataUri(scene)], config('BrushLabels', 'model_label_threshold="1"'))) as [Prediction]
  assert.equal([prediction.result, prediction.error], [[], undefined])
})

test('options of the tag reach the engine', async () => {
  const [plain] = (await predict([dataUri(scene)])) as [Prediction]
  const [refined] = (await predict([dataUri(scene)], config('BrushLabels', 'model_crf="true"'))) as [Prediction]
  const { signal } = new AbortController()
  const { mask } = await server.service.segment({ photo: scene, classes: words, options: { labels: 'auto', crf: true }, signal })
  assert.equal(painted(refined), mask)
  assert.not.equal(painted(plain), mask)
})

test('several tasks are answered in their order; one whose photo cannot be used says why', async () => {
  const url = `http://127.0.0.1:${host.port}`
  const images = [dataUri(scene), `${url}/text.png`, 'http://evil.test/a.png', dataUri(scene), undefined, 'photo.png']
  const [first, text, evil, fourth, missing, other] = (await predict(images)) as Prediction[]
  assert.equal(painted(fourth as Prediction), painted(first as Prediction))
  for (const prediction of [text, evil, missing, other]) assert.equal([prediction?.result, prediction?.score], [[], 0])
  assert.match(text?.error ?? '', 'the image: it is not an image')
  assert.match(evil?.error ?? '', 'photos are not fetched from the host evil.test')
  assert.match(missing?.error ?? '', "the data of the task has no 'image'")
  assert.match(other?.error ?? '', "the photo is 'photo.png'; expected a URL")
})

test('if no task has a usable photo, the request fails with the first reason', async () => {
  const { code } = await problem(await postJson(server, '/predict', body(['http://evil.test/a.png'], config())), 403)
  assert.is(code, 'ERR_FORBIDDEN')
  const text = await problem(await postJson(server, '/predict', body(['data:image/png,abc'], config())), 400)
  assert.match(text.detail, 'the data URI of the photo is not in base64')
  assert.equal(await predict([]), [])
})

test('wrong configurations, words and tasks are refused', async () => {
  for (const path of ['/setup', '/predict']) {
    const bad = path === '/setup' ? { project: '1.1', schema: '<View></View>' } : body([dataUri(scene)], '<View></View>')
    const { code, detail } = await problem(await postJson(server, path, bad), 400)
    assert.is(code, 'ERR_INVALID_ARG')
    assert.match(detail, 'has no tag BrushLabels')
  }
  const twice = config().replace(label('dog'), label('bus'))
  assert.match((await problem(await postJson(server, '/predict', body([dataUri(scene)], twice)), 400)).detail, /bus/)
  const tasks = { ...body([], config()), tasks: [{ id: 1 }] }
  assert.match((await problem(await postJson(server, '/predict', tasks), 400)).detail, 'expected a task of Label Studio')
})

test('without Label Studio or a list of hosts, only data URIs are used', async () => {
  const alone = await startServer({ segmenter: server.service.segmenter })
  const ask = async (image: string) => await postJson(alone, '/predict', body([image], config()))
  const upload = await problem(await ask('/data/upload/1/a.png'), 400)
  assert.match(upload.remedy as string, '--label-studio')
  const remote = await problem(await ask(`http://127.0.0.1:${host.port}/photo.png`), 403)
  assert.match(remote.remedy as string, '--remote-host')
  assert.is((await ask(dataUri(scene))).status, 200)
  assert.is(host.requests.length, 0)
  await alone.close()
})

test("an API key is the password of Label Studio's basic authentication; health needs none", async () => {
  const key = 'a-key-of-sixteen-characters'
  const locked = await startServer({ segmenter: server.service.segmenter, keys: [key] })
  const setup = { project: '1.1', schema: config() }
  const ask = (password: string) =>
    post(locked, '/setup', JSON.stringify(setup), {
      'content-type': 'application/json',
      authorization: `Basic ${Buffer.from(`label-studio:${password}`).toString('base64')}`,
    })
  assert.is((await ask(key)).status, 200)
  await problem(await ask('another-key-of-characters'), 401)
  await problem(await postJson(locked, '/setup', setup), 401)
  assert.is((await fetch(`${locked.url}/health`)).status, 200)
  await locked.close()
})

test.run()
