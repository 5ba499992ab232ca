// How requests of the open inference protocol are read, and how their answers are written. No engine is needed.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { defaultLimits, type Service, type ServiceResult } from '../../server/src/index.js'
import { checkJsonOutputs, inferAnswer } from '../../server/src/protocols/kserve/answer.js'
import { inputs, outputs } from '../../server/src/protocols/kserve/model.js'
import { readInferRequest } from '../../server/src/protocols/kserve/request.js'
import { decodeBytes, decodeText, encodeBytes } from '../../server/src/protocols/kserve/tensors.js'

const service = {
  limits: { ...defaultLimits, photoBytes: 5, words: 3 },
  classSets: { has: (name: string) => name === 'set' },
} as unknown as Service

const photo = Buffer.from('photo')
const base64 = photo.toString('base64')
const tensor = (name: string, shape: unknown, more: object) => ({ name, shape, datatype: 'BYTES', ...more })
const jsonPhoto = tensor('photo', [1], { data: [base64] })
const jsonClasses = (data: unknown, shape: unknown = [(data as unknown[]).length]) => tensor('classes', shape, { data })
const binary = (name: string, shape: unknown, size: unknown) => tensor(name, shape, { parameters: { binary_data_size: size } })

/** Reads a request with binary data behind its JSON; `header` is the length of the JSON unless it is given. */
function read(request: unknown, behind?: Buffer, header?: string) {
  const head = Buffer.from(typeof request === 'string' ? request : JSON.stringify(request))
  const body = behind ? Buffer.concat([head, behind]) : head
  return readInferRequest(body, header ?? (behind && String(head.length)), service)
}
const both = (more: object = {}) => ({ inputs: [jsonPhoto, jsonClasses(['cat'])], ...more })

function refusal(request: unknown, behind?: Buffer, header?: string): string {
  try {
    read(request, behind, header)
  } catch (error) {
    return (error as Error).message
  }
  throw new Error('the request was not refused')
}

const plain = { classes: ['cat'], classOptions: {}, options: { include: [] }, photo }
const defaultOutputs = (binary: boolean) => ['mask', 'labels', 'values', 'scores'].map((name) => ({ name, binary }))

test('a request in JSON: its id, its photo, its classes and the outputs that it asks for', () => {
  assert.equal(read(both()), { id: undefined, segment: plain, outputs: defaultOutputs(false) })
  assert.equal(read(both({ id: '', outputs: [], parameters: { binary_data_output: false } })).outputs, defaultOutputs(false))
  assert.equal(read(both({ parameters: { binary_data_output: true } })).outputs, defaultOutputs(true))
  assert.is(read(both({ id: '7' })).id, '7')
  const asked = ['maps', 'confidence', 'scores'].map((name, i) => ({ name, ...(i && { parameters: { binary_data: i === 1 } }) }))
  const { outputs: found, segment } = read(both({ outputs: asked, parameters: { binary_data_output: true } }))
  assert.equal(found, [
    { name: 'maps', binary: true },
    { name: 'confidence', binary: true },
    { name: 'scores', binary: false },
  ])
  assert.equal(segment.options, { include: ['cams', 'confidence'] })
  assert.equal(read(both({ outputs: [{ name: 'maps' }] })).segment.options, { include: ['cams'] })
  assert.equal(read(both({ outputs: [{ name: 'confidence' }] })).segment.options, { include: ['confidence'] })
  const parameters = { crf: true, labelThreshold: 0.25, labels: 'cat,dog', refine: false }
  assert.equal(read(both({ parameters })).segment.options, {
    ...{ crf: true, labelThreshold: 0.25, labels: ['cat', 'dog'], refine: false, include: [] },
  })
})

test('classes are words in any shape, or the name of a class set', () => {
  const classes = (data: unknown, shape?: unknown) => read({ inputs: [jsonClasses(data, shape), jsonPhoto] }).segment.classes
  assert.equal(classes(['set']), 'set')
  assert.equal(classes(['set', 'cat']), ['set', 'cat'])
  assert.equal(classes([['a'], ['b']], [2, 1]), ['a', 'b'])
  const ten = JSON.parse(`${'['.repeat(11)}"a"${']'.repeat(11)}`)
  assert.equal(classes(ten, [1]), ['a'])
  assert.match(refusal({ inputs: [jsonPhoto, jsonClasses([ten], [1])] }), /^the data of classes is/)
})

test('binary data is cut in the order of the inputs', () => {
  const [first, second] = [encodeBytes([Buffer.from('dog'), Buffer.from('é')]), encodeBytes([photo])]
  const request = { inputs: [binary('classes', [2], first.length), binary('photo', [1, 1], second.length)] }
  assert.equal(read(request, Buffer.concat([first, second])).segment, { ...plain, classes: ['dog', 'é'] })
  const mixed = { inputs: [jsonPhoto, binary('classes', [2], first.length)] }
  assert.equal(read(mixed, first).segment.classes, ['dog', 'é'])
  const set = encodeBytes([Buffer.from('set')])
  assert.is(read({ inputs: [jsonPhoto, binary('classes', [1], set.length)] }, set).segment.classes, 'set')
})

test('what is wrong is told with the value and the remedy', () => {
  const one = encodeBytes([photo])
  const withPhoto = (size: unknown) => ({ inputs: [binary('photo', [1], size), jsonClasses(['cat'])] })
  const left = (size: unknown) =>
    `the input photo has a binary_data_size of ${size}; ${one.length} bytes are left of the binary data`
  for (const size of [-1, 1.5, one.length + 1]) assert.is(refusal(withPhoto(size), one), left(size))
  assert.is(refusal(withPhoto('9'), one), left("'9'"))
  assert.is(refusal(withPhoto(0), Buffer.alloc(0)), 'the input photo has the shape [1] and 0 elements; correct one of them')
  const behind = Buffer.concat([one, Buffer.alloc(3)])
  assert.is(refusal(withPhoto(one.length), behind), '3 bytes behind the JSON belong to no input; give each its binary_data_size')
  const { length } = Buffer.from(JSON.stringify(both()))
  const header = (shown: string) =>
    `Inference-Header-Content-Length is '${shown}'; expected the length of the JSON, of ${length} bytes of the body`
  for (const shown of ['x', '-1', '1.5', String(length + 1)]) assert.is(refusal(both(), undefined, shown), header(shown))
  read(both(), undefined, String(length))
  assert.is(
    refusal(both(), undefined, '0'),
    'the request has binary data only (Inference-Header-Content-Length is 0), but the model has two inputs; describe them in JSON',
  )
  assert.match(
    refusal('{'),
    /^the request is not JSON \(.+\); with binary data, give the length of the JSON as Inference-Header-Content-Length$/,
  )
  assert.match(refusal('{', undefined, '1'), /^the request is not JSON \([^;]+\)$/)
  for (const [given, message] of [
    [[], 'the request is []; expected an object'],
    [7, 'the request is 7; expected an object'],
    [{ inputs: [7] }, 'inputs is [ 7 ]; expected a list of tensors, such as [{"name": …}]'],
    [{ inputs: {} }, 'inputs is {}; expected a list of tensors, such as [{"name": …}]'],
    [both({ outputs: [[]] }), 'outputs is [ [] ]; expected a list of tensors, such as [{"name": …}]'],
    [both({ id: 1 }), 'id is 1; expected a text'],
    [both({ parameters: [] }), 'parameters is []; expected an object'],
    [both({ parameters: null }), 'parameters is null; expected an object'],
    [both({ parameters: { binary_data_output: 1 } }), 'binary_data_output is 1; expected true or false'],
    [
      both({ parameters: { labels: ['a'] } }),
      "the parameter labels is [ 'a' ]; expected a text, a number or a boolean, and for a list a text with commas",
    ],
    [both({ outputs: [{ name: 'mask' }, { name: 'maps' }, { name: 'mask' }] }), 'the output mask is asked for twice; ask once'],
    [both({ outputs: [{ name: 'mask', parameters: 1 }] }), 'the parameters of mask is 1; expected an object'],
    [
      both({ outputs: [{ name: 'mask', parameters: { classification: 0 } }] }),
      'the output mask has no classification; leave this parameter out',
    ],
    [both({ outputs: [{ name: 'mask', parameters: { binary_data: 'no' } }] }), "binary_data is 'no'; expected true or false"],
    [{ inputs: [jsonPhoto, jsonPhoto] }, 'the input photo is given twice; give it once'],
    [{ inputs: [{ ...jsonPhoto, datatype: 'FP32' }] }, "the input photo has the datatype 'FP32'; expected 'BYTES'"],
    [{ inputs: [{ ...jsonPhoto, parameters: 7 }] }, 'the parameters of photo is 7; expected an object'],
    [{ inputs: [{ ...jsonPhoto, shape: 1 }] }, 'the input photo has the shape 1 and 1 elements; correct one of them'],
    [
      { inputs: [{ ...jsonPhoto, shape: [-1, -1] }] },
      'the input photo has the shape [-1,-1] and 1 elements; correct one of them',
    ],
    [
      { inputs: [{ ...jsonPhoto, shape: [0.5, 2] }] },
      'the input photo has the shape [0.5,2] and 1 elements; correct one of them',
    ],
    [
      { inputs: [{ ...jsonPhoto, data: base64 }] },
      `the data of photo is '${base64}'; expected a list of texts, or binary data with its binary_data_size`,
    ],
    [
      { inputs: [jsonPhoto] },
      'the input classes is missing; send what to look for, or the name of a class set, as a BYTES tensor',
    ],
    [
      { inputs: [jsonClasses(['cat'])] },
      'the input photo is missing; send the bytes of an image file as a BYTES tensor of the shape [1]',
    ],
    [
      { inputs: [tensor('photo', [2], { data: [base64, base64] }), jsonClasses(['cat'])] },
      'the input photo has 2 elements; send one photo a request',
    ],
    [
      { inputs: [tensor('photo', [1], { data: [Buffer.from('photos').toString('base64')] }), jsonClasses(['cat'])] },
      'the input photo has 6 bytes; at most 5 are allowed',
    ],
    [{ inputs: [jsonPhoto, jsonClasses(['a', 'b', 'c', 'd'])] }, 'the request has 4 words; at most 3 are allowed: send fewer'],
  ] as const)
    assert.is(refusal(given), message)
  assert.match(refusal({ inputs: [{ ...jsonPhoto, name: 'phto' }] }), /^infer: unknown input 'phto'; did you mean 'photo'\?/)
  assert.match(refusal(both({ outputs: [{ name: 'msk' }] })), /^infer: unknown output 'msk'; did you mean 'mask'\?/)
  assert.match(refusal(both({ parameters: { crv: true } })), /^infer: unknown option 'crv'; did you mean 'crf'\?/)
  const large = encodeBytes([Buffer.from('photos')])
  assert.is(refusal(withPhoto(large.length), large), 'the input photo has 6 bytes; at most 5 are allowed')
})

test('bytes of a tensor are lengths and elements, 10 000 at most', () => {
  const elements = ['', 'ab', 'c'].map((text) => Buffer.from(text))
  const bytes = encodeBytes(elements)
  assert.equal([...bytes], [0, 0, 0, 0, 2, 0, 0, 0, 97, 98, 1, 0, 0, 0, 99])
  assert.equal(decodeBytes('x', bytes), elements)
  const cut =
    'the binary data of x ends within an element; each is its length (4 bytes, little-endian) and as many bytes: correct what sends it'
  for (const length of [1, 3, 5, 8, 9, 14])
    assert.throws(
      () => decodeBytes('x', bytes.subarray(0, length)),
      (error: Error) => error.message === cut,
    )
  assert.is(decodeBytes('x', Buffer.alloc(40_000)).length, 10_000)
  assert.throws(() => decodeBytes('x', Buffer.alloc(40_004)), /^.*the binary data of x has more than 10000 elements; send fewer$/)
  assert.is(decodeText('x', Buffer.from('é')), 'é')
  assert.throws(() => decodeText('x', Buffer.from([0xff])), /x has an element that is not UTF-8; send words as UTF-8/)
})

const metadata = (name: string, datatype: string, shape: number[]) => ({ name, datatype, shape })

test('the model has these tensors', () => {
  assert.equal(inputs, [metadata('photo', 'BYTES', [1]), metadata('classes', 'BYTES', [-1])])
  assert.equal(outputs, [
    ...[metadata('mask', 'UINT8', [-1, -1]), metadata('labels', 'BYTES', [-1]), metadata('values', 'UINT8', [-1])],
    ...[metadata('scores', 'FP32', [-1]), metadata('confidence', 'FP32', [-1, -1]), metadata('maps', 'FP32', [-1, -1, -1])],
  ])
})

test('an answer has each output as JSON, or as binary data behind it', () => {
  const result = {
    ...{ mask: Uint8Array.from([0, 3]), width: 2, height: 1, labels: ['c'], names: ['a', 'b', 'c'] },
    ...{ scores: Float32Array.from([0.5]), confidence: Float32Array.from([1, 0.25]), cams: Float32Array.from([0, 1]) },
  } as unknown as ServiceResult
  const names = outputs.map(({ name }) => name)
  const head = { model_name: 'clip-es', model_version: '1' }
  const described = [
    { ...metadata('mask', 'UINT8', [1, 2]), data: [0, 3] },
    { ...metadata('labels', 'BYTES', [1]), data: ['c'] },
    { ...metadata('values', 'UINT8', [1]), data: [3] },
    { ...metadata('scores', 'FP32', [1]), data: [0.5] },
    { ...metadata('confidence', 'FP32', [1, 2]), data: [1, 0.25] },
    { ...metadata('maps', 'FP32', [1, 1, 2]), data: [0, 1] },
  ]
  const json = inferAnswer(result, { id: undefined, outputs: names.map((name) => ({ name, binary: false })) })
  assert.equal([JSON.parse(json.json), json.binary], [{ ...head, outputs: described }, undefined])
  const sizes = [2, 5, 1, 4, 8, 8]
  const whole = inferAnswer(result, { id: 'i', outputs: names.map((name) => ({ name, binary: true })) })
  assert.equal(JSON.parse(whole.json), {
    ...{ ...head, id: 'i' },
    outputs: described.map(({ data: _, ...tensor }, i) => ({ ...tensor, parameters: { binary_data_size: sizes[i] } })),
  })
  assert.equal(whole.binary, Buffer.from('0003010000006303' + '0000003f' + '0000803f0000803e' + '000000000000803f', 'hex'))
})

test('a mask of 20 million pixels fits into JSON, and one with a pixel more must be binary', () => {
  const sized = (length: number) => ({ mask: { length }, width: length, height: 1 }) as unknown as ServiceResult
  checkJsonOutputs(sized(20e6), [{ name: 'mask', binary: false }])
  checkJsonOutputs(sized(20e6 + 1), [{ name: 'mask', binary: true }])
  assert.throws(
    () => checkJsonOutputs(sized(20e6 + 1), [{ name: 'mask', binary: false }]),
    /the output mask has 20000001 numbers, too many for JSON; ask for it with the parameter binary_data: true/,
  )
})

test.run()
