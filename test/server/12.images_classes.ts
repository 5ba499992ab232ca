// Photos and class sets that are kept: /v1/images, /v1/classes, /v1/model.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SegmentAnswer } from '../../server/src/answers/json.js'
import type { RunningServer } from '../../server/src/index.js'
import { post, postJson, problem, sceneFile, sceneLabels, startServer } from './support.js'

const photo = sceneFile('scene01')
const labels = sceneLabels('scene01')
let server: RunningServer

test.before(async () => {
  server = await startServer()
})
test.after(() => server.close())

interface Kept {
  id: string
  width: number
  height: number
  bytes: number
  expires: string
}

async function keep(to = server): Promise<Kept> {
  const response = await post(to, '/v1/images', photo)
  assert.is(response.status, 201)
  const image = (await response.json()) as Kept
  assert.is(response.headers.get('location'), `/v1/images/${image.id}`)
  return image
}

const masks = async (response: Response) => {
  assert.is(response.status, 200, await response.clone().text())
  return new Uint8Array(await response.arrayBuffer())
}

test('a photo that is kept answers as the photo itself, without encoding it again', async () => {
  const { id, width, height, bytes, expires } = await keep()
  assert.equal([width, height], [320, 240])
  assert.ok(bytes > 6 * 320 * 240)
  assert.ok(Date.parse(expires) > Date.now())
  for (const options of [{ labels }, { labels: 'auto' }, { labels, crf: true }]) {
    const question = { classes: 'emoji', format: 'raw', ...options }
    const kept = await masks(await postJson(server, `/v1/images/${id}/segment`, question))
    const query = new URLSearchParams({
      classes: 'emoji',
      format: 'raw',
      crf: String('crf' in options),
      labels: String(options.labels),
    })
    assert.equal(kept, await masks(await post(server, `/v1/segment?${query}`, photo)))
  }
  const answer = await postJson(server, `/v1/images/${id}/segment`, { classes: 'emoji', format: 'json' })
  assert.is(((await answer.json()) as SegmentAnswer).timings.encode, 0)
  assert.is((await fetch(`${server.url}/v1/images/${id}`)).status, 200)
  assert.is((await fetch(`${server.url}/v1/images/${id}`, { method: 'DELETE' })).status, 204)
  const gone = await problem(await postJson(server, `/v1/images/${id}/segment`, { classes: 'emoji' }), 404)
  assert.match(gone.remedy ?? '', 'POST /v1/images again')
})

const statusOf = async (server: { url: string }, { id }: Kept) => (await fetch(`${server.url}/v1/images/${id}`)).status

test('the photo that was not used for longest makes room', async () => {
  const { bytes } = await keep()
  const small = await startServer({ limits: { storeBytes: 2.5 * bytes } })
  try {
    const [first, second] = [await keep(small), await keep(small)]
    await masks(await postJson(small, `/v1/images/${first.id}/segment`, { classes: 'emoji', format: 'raw' })) // now second is the oldest
    const third = await keep(small)
    assert.equal(await Promise.all([first, second, third].map((kept) => statusOf(small, kept))), [200, 404, 200])
  } finally {
    await small.close()
  }
})

test('photos go when their time is over', async () => {
  const hasty = await startServer({ limits: { storeTime: 200 } })
  try {
    const kept = await keep(hasty)
    while (hasty.service.images.count) await new Promise((resolve) => setTimeout(resolve, 20))
    assert.is(await statusOf(hasty, kept), 404)
    assert.is(hasty.service.images.bytes, 0)
  } finally {
    await hasty.close()
  }
})

test('a photo that alone is more than the store holds is refused', async () => {
  const tiny = await startServer({ limits: { storeBytes: 1000 } })
  try {
    assert.is((await problem(await post(tiny, '/v1/images', photo), 413)).code, 'ERR_TOO_LARGE')
    assert.is(tiny.service.images.bytes, 0)
  } finally {
    await tiny.close()
  }
})

test('class sets are stored, listed, used by name and deleted', async () => {
  const set = {
    name: 'animals',
    classes: ['panda', { name: 'cat', colour: '#112233' }],
    background: ['ground'],
    boxThreshold: 0.5,
  }
  assert.is((await postJson(server, '/v1/classes', set)).status, 201)
  const answer = await post(server, '/v1/segment?classes=animals&format=json', photo)
  const found = ((await answer.json()) as SegmentAnswer).labels
  assert.equal(
    found.map(({ name, color }) => [name, color]),
    [
      ['panda', '#800000'],
      ['cat', '#112233'],
    ],
  )
  const { classSets } = (await (await fetch(`${server.url}/v1/classes`)).json()) as { classSets: { name: string }[] }
  assert.equal(
    classSets.map(({ name }) => name),
    ['voc', 'coco', 'emoji', 'animals'],
  )
  const response = await fetch(`${server.url}/v1/classes/animals`, { method: 'DELETE' })
  assert.is(response.status, 204)
  const { id } = await keep()
  const unknown = await problem(await postJson(server, `/v1/images/${id}/segment`, { classes: 'emojis' }), 404)
  assert.match(unknown.detail, "did you mean 'emoji'?")
})

test("the thresholds of a class set are obeyed by labels 'auto', and sets that differ only in them are told apart", async () => {
  const found = async (labelThreshold: number, query = '') => {
    const classes = labels.map((name) => (name === 'panda' ? { name, labelThreshold } : name))
    const set = { name: 'own', classes, background: ['wall', 'ground'] }
    assert.is((await postJson(server, '/v1/classes', set)).status, 201)
    const answer = await post(server, `/v1/segment?classes=own&labels=auto&format=json${query}`, photo)
    return ((await answer.json()) as SegmentAnswer).labels.map(({ name }) => name)
  }
  assert.ok((await found(0)).includes('panda'))
  assert.not((await found(1)).includes('panda'))
  assert.ok((await found(1, '&labelThreshold=0')).includes('panda'))
  const wrong = { name: 'own', classes: [{ name: 'panda', labelThreshold: 2 }] }
  assert.match((await problem(await postJson(server, '/v1/classes', wrong), 400)).detail, 'labelThreshold is 2')
})

test('a class set that is wrong, or comes with the server, is refused', async () => {
  for (const [set, message] of [
    [{ name: 'a b', classes: ['cat'] }, "name is 'a b'"],
    [{ name: 'x' }, "lacks 'classes'"],
    [{ name: 'x', classes: ['cat', 'cat'] }, "has 'cat' twice"],
    [{ name: 'voc', classes: ['cat'] }, 'comes with the server'],
    [{ name: 'x', classes: ['cat'], colour: 1 }, "unknown option 'colour'"],
  ] as const)
    assert.match((await problem(await postJson(server, '/v1/classes', set), 400)).detail, message)
})

test('options that are sent as something else than JSON are refused', async () => {
  const { id } = await keep()
  for (const [path, type] of [
    [`/v1/images/${id}/segment?classes=emoji`, 'text/plain'],
    ['/v1/classes', 'application/x-www-form-urlencoded'],
  ] as const) {
    const { detail } = await problem(await post(server, path, 'classes=cat', { 'content-type': type }), 415)
    assert.is(detail, `the body is ${type}; expected JSON`)
  }
  assert.is((await post(server, `/v1/images/${id}/segment?classes=emoji`, '', { 'content-type': 'text/plain' })).status, 200)
})

test('words are encoded once, and at most as many sets are kept as the limit says', async () => {
  const few = await startServer({ limits: { classSets: 2 } })
  try {
    for (const words of ['a,b', 'a,b', 'c,d', 'e,f', 'a,b'])
      assert.is((await post(few, `/v1/segment?classes=${words}`, photo)).status, 200)
    assert.is(few.service.classSets.encodedCount, 2)
  } finally {
    await few.close()
  }
})

test('the model, limits and defaults are told', async () => {
  const about = (await (await fetch(`${server.url}/v1/model`)).json()) as Record<string, Record<string, unknown>>
  assert.is(about.model?.demo, true)
  assert.is(about.limits?.queue, 64)
  assert.is(about.defaults?.boxThreshold, 0.4)
})

test.run()
