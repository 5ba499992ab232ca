// The open inference protocol (KServe V2): requests as its clients send them, answers against the direct API.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunningServer } from '../../server/src/index.js'
import { decodeBytes, encodeBytes } from '../../server/src/protocols/kserve/tensors.js'
import type { ServiceResult } from '../../server/src/service/service.js'
import { binaryRequest, jsonClasses, jsonPhoto, message, path, photoTensor, scene, words } from './kserve_support.js'
import { bytesOf, postJson, startServer } from './support.js'

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

const json = async (response: Response): Promise<InferResponse> => {
  assert.is(response.status, 200, await response.clone().text())
  return (await response.json()) as InferResponse
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
    const { bytes } = await binaryOutputs(await binaryRequest(server, request, tensors, type))
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

test.run()
