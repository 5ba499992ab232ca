// The open inference protocol (KServe V2): requests as its clients send them, answers against the direct API.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunningServer } from '../../server/src/index.js'
import { decodeBytes, encodeBytes } from '../../server/src/protocols/kserve/tensors.js'
import type { ServiceResult } from '../../server/src/service/service.js'
import { bytesOf, post, postJson, sceneFile, sceneLabels, startServer } from './support.js'

const scene = sceneFile('scene01')
const words = [...sceneLabels('scene01'), 'dog']
const path = '/v2/models/clip-es/infer'
let server: RunningServer

test.before(async () => {
  server = await startServer()
})
test.after(() => server.close())

interface Tensor {
  name: string
  datatype: string
  shape: number[]
  data?: unknown[]
  parameters?: { binary_data_size: number }
}

interface InferResponse {
  model_name: string
  model_version: string
  id?: string
  outputs: Tensor[]
}

const photoTensor = { name: 'photo', shape: [1], datatype: 'BYTES' }
const jsonPhoto = { ...photoTensor, data: [scene.toString('base64')] }
const jsonClasses = (names: readonly string[] = words) => ({
  name: 'classes',
  shape: [names.length],
  datatype: 'BYTES',
  data: names,
})

const json = async (response: Response): Promise<InferResponse> => {
  assert.is(response.status, 200, await response.clone().text())
  return (await response.json()) as InferResponse
}

/** The message of an answer that must be an error of this status. */
async function message(response: Response, status = 400): Promise<string> {
  const body = (await response.json()) as Record<string, string>
  assert.is(response.status, status, JSON.stringify(body))
  assert.equal(Object.keys(body), ['error'])
  return body.error as string
}

/** A request with JSON and, behind it, binary data, as Triton's client makes it. */
function binaryRequest(request: object, binary: readonly Buffer[], type?: string) {
  const head = Buffer.from(JSON.stringify(request))
  const headers = { 'inference-header-content-length': String(head.length), ...(type && { 'content-type': type }) }
  return post(server, path, Buffer.concat([head, ...binary]), headers)
}

/** The outputs of an answer by name, as bytes. */
async function binaryOutputs(response: Response): Promise<{ head: InferResponse; bytes: Record<string, Buffer> }> {
  assert.is(response.status, 200, await response.clone().text())
  assert.is(response.headers.get('content-type'), 'application/octet-stream')
  const body = await bytesOf(response)
  let at = Number(response.headers.get('inference-header-content-length'))
  const head = JSON.parse(body.toString('utf8', 0, at)) as InferResponse
  const bytes: Record<string, Buffer> = {}
  for (const { name, parameters } of head.outputs)
    if (parameters) {
      bytes[name] = body.subarray(at, at + parameters.binary_data_size)
      at += parameters.binary_data_size
    }
  assert.is(at, body.length)
  return { head, bytes }
}

const floats = (bytes: Buffer): Float32Array => new Float32Array(new Uint8Array(bytes).buffer)

const direct = async (options: object = {}): Promise<ServiceResult> => {
  const { signal } = new AbortController()
  return await server.service.segment({ photo: scene, classes: words, options, signal })
}

test('the server, its health, the model and its versions', async () => {
  const get = async (where: string) => await (await fetch(`${server.url}${where}`)).json()
  for (const where of ['/v2', '/v2/']) {
    const { name, extensions } = (await get(where)) as { name: string; extensions: string[] }
    assert.equal([name, extensions], ['clip-es', ['binary_tensor_data', 'parameters']])
  }
  assert.equal(await get('/v2/health/live'), { live: true })
  assert.equal(await get('/v2/health/ready'), { ready: true })
  const model = (await get('/v2/models/clip-es')) as { versions: string[]; inputs: Tensor[]; outputs: Tensor[] }
  assert.equal(model, await get('/v2/models/clip-es/versions/1'))
  assert.equal(
    model.inputs.map(({ name, datatype, shape }) => [name, datatype, shape]),
    [
      ['photo', 'BYTES', [1]],
      ['classes', 'BYTES', [-1]],
    ],
  )
  assert.equal(
    model.outputs.map(({ name }) => name),
    ['mask', 'labels', 'values', 'scores', 'confidence', 'maps'],
  )
  for (const where of ['/v2/models/clip-es/ready', '/v2/models/clip-es/versions/1/ready'])
    assert.equal(await get(where), { name: 'clip-es', ready: true })
})

test('another model or version is not there', async () => {
  const get = (where: string) => fetch(`${server.url}${where}`)
  assert.is(
    await message(await get('/v2/models/resnet'), 404),
    "there is no model 'resnet'; the model of this server is 'clip-es'",
  )
  assert.match(await message(await get('/v2/models/clip-es/versions/2/ready'), 404), "there is no version '2'")
  assert.match(await message(await postJson(server, '/v2/models/resnet/infer', {}), 404), "there is no model 'resnet'")
})

test('a request in JSON, with the photo in base64', async () => {
  const { mask, labels, scores, names } = await direct()
  const answer = await json(await postJson(server, path, { id: '42', inputs: [jsonPhoto, jsonClasses()] }))
  const { outputs, ...head } = answer
  assert.equal(head, { model_name: 'clip-es', model_version: '1', id: '42' })
  const expected: Tensor[] = [
    { name: 'mask', datatype: 'UINT8', shape: [240, 320], data: [...mask] },
    { name: 'labels', datatype: 'BYTES', shape: [words.length], data: [...labels] },
    { name: 'values', datatype: 'UINT8', shape: [words.length], data: labels.map((name) => names.indexOf(name) + 1) },
    { name: 'scores', datatype: 'FP32', shape: [words.length], data: [...scores] },
  ]
  assert.equal(outputs, expected)
  const nested = { ...jsonClasses(), shape: [2, words.length / 2], data: [words.slice(0, 2), words.slice(2)] }
  const versioned = await postJson(server, '/v2/models/clip-es/versions/1/infer', { inputs: [nested, jsonPhoto] })
  assert.equal((await json(versioned)).outputs, expected)
})

test('binary data in and out, with every kind of content', async () => {
  const { mask, labels, scores } = await direct()
  const tensors = [encodeBytes([scene]), encodeBytes(words.map((word) => Buffer.from(word)))]
  const [photo, classes] = tensors as [Buffer, Buffer]
  const request = {
    inputs: [
      { ...photoTensor, parameters: { binary_data_size: photo.length } },
      { name: 'classes', shape: [words.length], datatype: 'BYTES', parameters: { binary_data_size: classes.length } },
    ],
    parameters: { binary_data_output: true },
  }
  for (const type of [
    undefined,
    'application/octet-stream',
    'application/json',
    'application/vnd.sagemaker-triton.binary+json',
  ]) {
    const { bytes } = await binaryOutputs(await binaryRequest(request, tensors, type))
    assert.equal(new Uint8Array(bytes.mask as Buffer), mask)
    assert.equal(floats(bytes.scores as Buffer), scores)
    assert.equal(decodeBytes('labels', bytes.labels as Buffer).map(String), [...labels])
    assert.equal(
      [...(bytes.values as Buffer)],
      words.map((_, i) => i + 1),
    )
  }
})

test('outputs that are asked for, in their order, binary or not, with maps', async () => {
  const { cams, confidence, scores } = await direct({ include: ['cams', 'confidence'] })
  const outputs = [
    { name: 'maps', parameters: { binary_data: true } },
    { name: 'scores' },
    { name: 'confidence', parameters: { binary_data: true } },
  ]
  const { head, bytes } = await binaryOutputs(await postJson(server, path, { inputs: [jsonPhoto, jsonClasses()], outputs }))
  assert.equal(
    head.outputs.map(({ name, shape, datatype }) => [name, shape, datatype]),
    [
      ['maps', [words.length, 240, 320], 'FP32'],
      ['scores', [words.length], 'FP32'],
      ['confidence', [240, 320], 'FP32'],
    ],
  )
  assert.equal(floats(bytes.maps as Buffer), cams)
  assert.equal(floats(bytes.confidence as Buffer), confidence)
  assert.equal(head.outputs[1]?.data, [...scores])
  const mixed = { inputs: [jsonPhoto, jsonClasses()], parameters: { binary_data_output: true } }
  const overridden = { ...mixed, outputs: [{ name: 'mask', parameters: { binary_data: false } }] }
  assert.is((await json(await postJson(server, path, overridden))).outputs[0]?.data?.length, 320 * 240)
})

test('parameters are options, and a class set has a name', async () => {
  const ask = async (parameters: object, classes = words) => {
    const outputs = [{ name: 'mask', parameters: { binary_data: true } }, { name: 'labels' }]
    return await binaryOutputs(await postJson(server, path, { inputs: [jsonPhoto, jsonClasses(classes)], parameters, outputs }))
  }
  const parameters = { crf: true, labels: 'auto', labelThreshold: 0.2, background: 'wall,floor', template: 'a photo of {}.' }
  const { signal } = new AbortController()
  const { mask, labels } = await server.service.segment({
    ...{ photo: scene, classes: words, signal },
    options: { crf: true, labels: 'auto', labelThreshold: 0.2 },
    classOptions: { background: ['wall', 'floor'], template: 'a photo of {}.' },
  })
  const { head, bytes } = await ask(parameters)
  assert.equal(new Uint8Array(bytes.mask as Buffer), mask)
  assert.equal(head.outputs[1]?.data, [...labels])
  const emoji = await ask({ labels: 'panda' }, ['emoji'])
  assert.equal(emoji.head.outputs[1]?.data, ['panda'])
  const value = (
    await json(
      await postJson(server, path, {
        inputs: [jsonPhoto, jsonClasses(['emoji'])],
        parameters: { labels: 'panda' },
        outputs: [{ name: 'values' }],
      }),
    )
  ).outputs[0]?.data as number[]
  assert.ok((emoji.bytes.mask as Buffer).every((pixel) => pixel === 0 || pixel === value[0]))
})

test('nothing is found: empty tensors', async () => {
  const parameters = { labels: 'auto', labelThreshold: 1 }
  const outputs = ['labels', 'scores', 'values', 'maps', 'mask'].map((name) => ({ name, parameters: { binary_data: true } }))
  const { head, bytes } = await binaryOutputs(
    await postJson(server, path, { inputs: [jsonPhoto, jsonClasses()], parameters, outputs }),
  )
  assert.equal(
    head.outputs.map(({ shape }) => shape),
    [[0], [0], [0], [0, 240, 320], [240, 320]],
  )
  assert.ok((bytes.mask as Buffer).every((value) => value === 0))
})

const photoOf = (data: unknown, more: object = {}) => [{ ...photoTensor, data, ...more }, jsonClasses()]
const wrong: [what: string, request: object | string, message: string][] = [
  ['not JSON', '{', 'the request is not JSON ('],
  ['a list', '[]', 'the request is []; expected an object'],
  ['no inputs', {}, 'inputs is undefined; expected a list of tensors'],
  ['no photo', { inputs: [jsonClasses()] }, 'the input photo is missing'],
  ['no classes', { inputs: [jsonPhoto] }, 'the input classes is missing'],
  ['an unknown input', { inputs: [{ ...jsonPhoto, name: 'phto' }] }, "unknown input 'phto'; did you mean 'photo'?"],
  ['an input twice', { inputs: [jsonPhoto, jsonPhoto] }, 'the input photo is given twice'],
  [
    'another datatype',
    { inputs: [{ ...jsonPhoto, datatype: 'UINT8' }] },
    "the input photo has the datatype 'UINT8'; expected 'BYTES'",
  ],
  [
    'a shape that does not fit',
    { inputs: photoOf(['AAAA'], { shape: [2] }) },
    'the input photo has the shape [2] and 1 elements',
  ],
  [
    'two photos',
    { inputs: photoOf(['AAAA', 'AAAA'], { shape: [2] }) },
    'the input photo has 2 elements; send one photo a request',
  ],
  ['numbers', { inputs: photoOf([1, 2, 3], { shape: [3] }) }, 'the data of photo is [ 1, 2, 3 ]; expected a list of texts'],
  ['not base64', { inputs: photoOf(['']) }, 'the input photo is not a photo in base64'],
  ['not a photo', { inputs: photoOf([Buffer.from('a text').toString('base64')]) }, 'the image: it is not an image'],
  ['an empty word', { inputs: [jsonPhoto, jsonClasses([''])] }, 'classes'],
  ['a word twice', { inputs: [jsonPhoto, jsonClasses(['cat', 'cat'])] }, 'cat'],
  [
    'an unknown output',
    { inputs: [jsonPhoto, jsonClasses()], outputs: [{ name: 'masks' }] },
    "unknown output 'masks'; did you mean 'mask'?",
  ],
  [
    'an output twice',
    { inputs: [jsonPhoto, jsonClasses()], outputs: [{ name: 'mask' }, { name: 'mask' }] },
    'mask is asked for twice',
  ],
  [
    'an unknown parameter',
    { inputs: [jsonPhoto, jsonClasses()], parameters: { crv: true } },
    "unknown option 'crv'; did you mean 'crf'?",
  ],
  [
    'a list as a parameter',
    { inputs: [jsonPhoto, jsonClasses()], parameters: { labels: ['a'] } },
    "the parameter labels is [ 'a' ]; expected a text",
  ],
  [
    'a wrong value',
    { inputs: [jsonPhoto, jsonClasses()], parameters: { refine: 'maybe' } },
    "refine is 'maybe'; expected true or false",
  ],
  ['a number as id', { id: 1, inputs: [jsonPhoto, jsonClasses()] }, 'id is 1; expected a text'],
]
for (const [what, request, expected] of wrong)
  test(`a wrong request: ${what}`, async () => {
    const body = typeof request === 'string' ? request : JSON.stringify(request)
    assert.match(await message(await post(server, path, body, { 'content-type': 'application/json' })), expected)
  })

test('binary data that does not fit its description', async () => {
  const photo = encodeBytes([scene])
  const input = (size: unknown) => ({ inputs: [{ ...photoTensor, parameters: { binary_data_size: size } }, jsonClasses()] })
  const ask = async (size: unknown, binary: Buffer) => await message(await binaryRequest(input(size), [binary]))
  assert.match(
    await ask(photo.length + 1, photo),
    `has a binary_data_size of ${photo.length + 1}; ${photo.length} bytes are left`,
  )
  assert.match(await ask(-1, photo), 'has a binary_data_size of -1')
  assert.match(await ask(photo.length - 1, photo), 'the binary data of photo ends within an element')
  assert.match(await ask(photo.length, Buffer.concat([photo, Buffer.from('!')])), '1 bytes behind the JSON belong to no input')
  assert.match(await ask(2, photo.subarray(0, 2)), 'ends within an element')
  const bad = encodeBytes([Buffer.from([0xff, 0xfe])])
  const classes = { name: 'classes', shape: [1], datatype: 'BYTES', parameters: { binary_data_size: bad.length } }
  assert.match(
    await message(await binaryRequest({ inputs: [jsonPhoto, classes] }, [bad])),
    'classes has an element that is not UTF-8',
  )
  const raw = await post(server, path, photo, { 'inference-header-content-length': '0' })
  assert.match(await message(raw), 'the request has binary data only')
  for (const length of ['x', String(photo.length + 1), '-1'])
    assert.match(await message(await post(server, path, photo, { 'inference-header-content-length': length })), `is '${length}'`)
  const missing = await post(server, path, Buffer.concat([Buffer.from(JSON.stringify(input(photo.length))), photo]))
  assert.match(await message(missing), 'give the length of the JSON as Inference-Header-Content-Length')
})

test('limits and keys answer in the form of the protocol; health needs no key', async () => {
  const { segmenter } = server.service
  const small = await startServer({
    segmenter,
    limits: { photoBytes: 1000, jsonBytes: 1000 },
    keys: ['a-key-of-sixteen-characters'],
  })
  const authorization = 'Bearer a-key-of-sixteen-characters'
  const ask = (body: object | Buffer, headers: object) =>
    post(small, path, Buffer.isBuffer(body) ? body : JSON.stringify(body), { 'content-type': 'application/json', ...headers })
  assert.match(await message(await ask({}, {}), 401), 'the request has no API key')
  assert.match(await message(await ask({ inputs: [jsonPhoto, jsonClasses()] }, { authorization }), 413), 'the body has')
  const large = encodeBytes([Buffer.alloc(1200)])
  const head = Buffer.from(
    JSON.stringify({ inputs: [{ ...photoTensor, parameters: { binary_data_size: large.length } }, jsonClasses()] }),
  )
  const headers = { authorization, 'inference-header-content-length': String(head.length) }
  assert.match(
    await message(await ask(Buffer.concat([head, large]), headers), 413),
    'the input photo has 1200 bytes; at most 1000',
  )
  for (const where of ['/v2/health/live', '/v2/health/ready', '/v2/models/clip-es/ready'])
    assert.is((await fetch(`${small.url}${where}`)).status, 200)
  await small.close()
})

test.run()
