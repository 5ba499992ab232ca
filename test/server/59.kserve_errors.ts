// The open inference protocol (KServe V2): wrong requests, limits and keys.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunningServer } from '../../server/src/index.js'
import { encodeBytes } from '../../server/src/protocols/kserve/tensors.js'
import { binaryRequest, jsonClasses, jsonPhoto, message, path, photoTensor, scene } from './kserve_support.js'
import { post, startServer } from './support.js'

let server: RunningServer

test.before(async () => {
  server = await startServer()
})
test.after(() => server.close())

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
  [
    'a deep list',
    `{"inputs": [{"name": "photo", "shape": [1], "datatype": "BYTES", "data": ${'['.repeat(1e5)}${']'.repeat(1e5)}}]}`,
    'the data of photo is',
  ],
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
  [
    'an output with a classification',
    { inputs: [jsonPhoto, jsonClasses()], outputs: [{ name: 'mask', parameters: { classification: 1 } }] },
    'the output mask has no classification; leave this parameter out',
  ],
  [
    'a number where an output may be binary',
    { inputs: [jsonPhoto, jsonClasses()], outputs: [{ name: 'mask', parameters: { binary_data: 1 } }] },
    'binary_data is 1; expected true or false',
  ],
  [
    'a text where all outputs may be binary',
    { inputs: [jsonPhoto, jsonClasses()], parameters: { binary_data_output: 'true' } },
    "binary_data_output is 'true'; expected true or false",
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
  const ask = async (size: unknown, binary: Buffer) => await message(await binaryRequest(server, input(size), [binary]))
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
    await message(await binaryRequest(server, { inputs: [jsonPhoto, classes] }, [bad])),
    'classes has an element that is not UTF-8',
  )
  const empty = Buffer.alloc(4 * 10_001)
  const many = { ...classes, shape: [10_001], parameters: { binary_data_size: empty.length } }
  assert.match(await message(await binaryRequest(server, { inputs: [many] }, [empty])), 'more than 10000 elements')
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
