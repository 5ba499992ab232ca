// POST /v1/segment: how a photo is sent, and every kind of answer, against the direct API.

import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readZip } from '../../cli/src/formats/read_zip.js'
import type { SegmentAnswer } from '../../server/src/answers/json.js'
import type { RunningServer, ServiceResult } from '../../server/src/index.js'
import { readNpy } from '../../ts/formats/npy.js'
import { decodeRle, readMask } from '../../ts/photos/index.js'
import { bytesOf, post, problem, sceneFile, sceneLabels, startServer } from './support.js'

const photo = sceneFile('scene01')
const labels = sceneLabels('scene01')
const words = `classes=emoji&labels=${labels.join(',')}`
let server: RunningServer
let direct: ServiceResult // by the service, without HTTP

test.before(async () => {
  server = await startServer()
  direct = await server.service.segment({
    photo,
    classes: 'emoji',
    options: { labels, include: ['confidence', 'cams'] },
    signal: new AbortController().signal,
  })
})
test.after(() => server.close())

const grey = async (base64: string): Promise<Buffer> =>
  await sharp(Buffer.from(base64, 'base64')).toColourspace('b-w').raw().toBuffer()

test('a photo as the body gives a palette mask', async () => {
  const response = await post(server, `/v1/segment?${words}`, photo)
  assert.is(response.status, 200)
  assert.is(response.headers.get('content-type'), 'image/png')
  assert.equal((await readMask(await bytesOf(response))).data, direct.mask)
})

test('a photo as a part of a form, with a list as repeated fields', async () => {
  const form = new FormData()
  form.append('photo', new Blob([new Uint8Array(photo)]), 'photo.png')
  form.append('classes', 'emoji')
  for (const label of labels) form.append('labels', label)
  form.append('format', 'raw')
  const response = await post(server, '/v1/segment', form)
  assert.is(response.headers.get('content-type'), 'application/octet-stream')
  assert.equal(new Uint8Array(await response.arrayBuffer()), direct.mask)
})

test('JSON has labels, scores, boxes and COCO RLE; with include also confidence and maps', async () => {
  const response = await post(server, `/v1/segment?${words}&include=confidence,cams`, photo, { accept: 'application/json' })
  const answer = (await response.json()) as SegmentAnswer
  const { width, height, mask } = direct
  assert.equal([answer.width, answer.height], [width, height])
  assert.equal(
    answer.labels.map(({ name }) => name),
    labels,
  )
  const confidence = await grey(answer.confidence as string)
  assert.equal(
    [...confidence],
    [...(direct.confidence as Float32Array)].map((value) => Math.round(255 * value)),
  )
  for (const [i, label] of answer.labels.entries()) {
    const inside = mask.map((value) => Number(value === label.index + 1))
    assert.equal(decodeRle(label.rle as { size: [number, number]; counts: string }).data, inside)
    assert.is(label.pixels, inside.filter(Boolean).length)
    assert.is(label.score, direct.scores[i])
    const cam = direct.cams?.subarray(i * mask.length, (i + 1) * mask.length) as Float32Array
    assert.equal(
      [...(await grey(label.cam as string))],
      [...cam].map((value) => Math.round(255 * value)),
    )
    const [left, top, w, h] = label.box as [number, number, number, number]
    const at = [...inside.keys()].filter((pixel) => inside[pixel])
    assert.equal([left, top], [Math.min(...at.map((pixel) => pixel % width)), Math.floor((at[0] as number) / width)])
    assert.equal(
      [left + w, top + h],
      [Math.max(...at.map((pixel) => pixel % width)) + 1, Math.floor((at.at(-1) as number) / width) + 1],
    )
  }
  const pixels = answer.labels.reduce((sum, label) => sum + label.pixels, answer.background + answer.ignored)
  assert.is(pixels, width * height)
})

test('polygons instead of RLE, or no shapes', async () => {
  const read = async (shapes: string) =>
    (await (await post(server, `/v1/segment?${words}&format=json&shapes=${shapes}`, photo)).json()) as SegmentAnswer
  const [first] = (await read('polygons')).labels
  assert.not.ok(first?.rle)
  assert.ok(first?.polygons?.every((ring) => ring.length >= 8 && ring.length % 2 === 0))
  const [bare] = (await read('none')).labels
  assert.not.ok(bare?.rle ?? bare?.polygons)
})

test('an overlay is a picture of at least 640 pixels, by Accept and by format', async () => {
  for (const [query, accept] of [
    ['', 'image/x-overlay+png'],
    ['&format=overlay', 'application/json'],
  ] as const) {
    const response = await post(server, `/v1/segment?${words}${query}`, photo, { accept })
    assert.is(response.headers.get('content-type'), 'image/png')
    assert.is((await sharp(await bytesOf(response)).metadata()).width, 640)
  }
})

test('npz has the maps under the names of the released files', async () => {
  const response = await post(server, `/v1/segment?${words}`, photo, { accept: 'application/x-npz' })
  const files = await readZip(await bytesOf(response))
  assert.equal(
    [...readNpy(files.get('keys.npy') as Buffer).values],
    labels.map((label) => direct.names.indexOf(label)),
  )
  const maps = readNpy(files.get('attn_highres.npy') as Buffer)
  assert.equal(maps.shape, [labels.length, direct.height, direct.width])
  const difference = maps.values.map((value, i) => Math.abs(value - (direct.cams?.[i] as number)))
  assert.ok(difference.every((value) => value < 5e-4)) // half precision
})

test('labels auto, a CRF with settings and classes with synonyms, in a form', async () => {
  const form = new FormData()
  form.append('photo', new Blob([new Uint8Array(photo)]))
  form.append('classes', JSON.stringify([{ name: 'animal', synonyms: labels.slice(0, 1) }, 'car']))
  form.append('labels', 'auto')
  form.append('crf', '{"rounds": 2}')
  form.append('format', 'json')
  const answer = (await (await post(server, '/v1/segment', form)).json()) as SegmentAnswer
  assert.ok(answer.timings.crf > 0)
  assert.ok(answer.labels.every(({ presence }) => (presence as number) >= 0.15))
})

test('maps by similarity, by name and with settings', async () => {
  const scores = async (query: string) => {
    const response = await post(server, `/v1/segment?${words}&format=json${query}`, photo)
    assert.is(response.status, 200)
    return ((await response.json()) as SegmentAnswer).labels.map(({ score }) => score)
  }
  const gradcam = await scores('')
  assert.equal(await scores('&maps=gradcam'), gradcam)
  const similarity = await scores('&maps=similarity')
  assert.not.equal(similarity, gradcam)
  const settings = (maps: object) => `&maps=${encodeURIComponent(JSON.stringify(maps))}`
  assert.equal(await scores(settings({ preset: 'naclip' })), similarity)
  assert.not.equal(await scores(settings({ preset: 'clip' })), similarity)
})

test('scales, flip, minScore and backgroundBelow', async () => {
  const answer = async (query: string, body = photo) => {
    const response = await post(server, `/v1/segment?${words}&format=json${query}`, body)
    assert.is(response.status, 200, await response.clone().text())
    return ((await response.json()) as SegmentAnswer).labels
  }
  const plain = await answer('')
  assert.equal(await answer('&scales=1&flip=false&minScore=0&backgroundBelow=0'), plain)
  const averaged = await answer('&scales=0.75,1&flip=true')
  assert.not.equal(averaged, plain)
  assert.equal(await answer('&scales=0.75&scales=1&flip=true'), averaged)
  assert.equal(await answer('&scales=[0.75,1]&flip=true'), averaged)
  assert.ok(plain.some(({ pixels }) => pixels > 0))
  for (const query of ['&minScore=1', '&backgroundBelow=1'])
    assert.ok(
      (await answer(query)).every(({ pixels }) => pixels === 0),
      query,
    )
})

test('JPEG, WebP, AVIF and TIFF are read', async () => {
  for (const format of ['jpeg', 'webp', 'avif', 'tiff'] as const) {
    const response = await post(server, `/v1/segment?${words}&format=json`, await sharp(photo).toFormat(format).toBuffer())
    assert.is(response.status, 200, format)
  }
})

test('an unknown option names the nearest known one; wrong values are told as the library tells them', async () => {
  for (const [query, message] of [
    ['classes=cat&lables=cat', "segment(): unknown option 'lables'; did you mean 'labels'?"],
    ['classes=cat,dog&refine=maybe', "segment(): refine is 'maybe'; expected true or false"],
    ['classes=cat,dog&maps=similar', "segment(): unknown maps 'similar'; did you mean 'similarity'?"],
    ['classes=cat,dog&scales=1,x', "segment(): scales[1] is 'x'; expected a number"],
    ['classes=cat,dog&scales=8', 'segment(): scales[0] is 8; expected a number from 0.25 to 4'],
    ['classes=cat,dog&boxThreshold=7', 'segment(): boxThreshold is 7; expected a number from 0 to 1'],
    ['classes=cat,dog&labels=cad', "segment(): unknown label 'cad'; did you mean 'cat'?"],
    ['classes=cat,dog&format=jsn', "segment(): unknown format 'jsn'; did you mean 'json'?"],
    ['classes=cat,,dog', "classes is 'cat,,dog'. A word is missing before or after a comma."],
    ['classes=cat,dog&refine=true&refine=false', 'refine is given 2 times; give it once'],
    ['classes=cat,dog&crf={"round":1}', "segment(): crf: unknown option 'round'; did you mean 'rounds'?"],
    ['classes={"synonyms":["cat"]}', "segment(): classes[0] lacks 'name'; add it"],
    ['labels=cat', 'classes is missing: name what to look for'],
  ] as const) {
    const { code, detail } = await problem(await post(server, `/v1/segment?${encodeURI(query)}`, photo), 400)
    assert.is(code, 'ERR_INVALID_ARG')
    assert.match(detail, message)
  }
})

test('a request without a photo, with two, with another name, and what is not a photo', async () => {
  const without = await problem(await post(server, `/v1/segment?${words}`, ''), 400)
  assert.match(without.remedy ?? '', 'curl --data-binary')
  const form = new FormData()
  form.append('image', new Blob([new Uint8Array(photo)]), 'photo.png')
  assert.match((await problem(await post(server, `/v1/segment?${words}`, form), 400)).detail, "a file named 'image'")
  form.delete('image')
  for (let i = 0; i < 2; i++) form.append('photo', new Blob([new Uint8Array(photo)]), 'photo.png')
  assert.match((await problem(await post(server, `/v1/segment?${words}`, form), 400)).detail, '2 files')
  const other = await problem(await post(server, `/v1/segment?${words}`, 'hello'), 400)
  assert.match(other.detail, 'JPEG, PNG, WebP, AVIF and TIFF files are read')
})

test('a kind of answer that does not exist is refused before the work', async () => {
  const { code, detail } = await problem(await post(server, `/v1/segment?${words}`, photo, { accept: 'text/html' }), 406)
  assert.is(code, 'ERR_NOT_ACCEPTABLE')
  assert.match(detail, 'application/x-npz')
})

test.run()
