// The options of segment(): what they default to, the limits of numbers, and the memory of the results. Needs no add-on.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClassSet } from '../../ts/classes/class_set.js'
import type { SegmentOptions } from '../../ts/index.js'
import { allocateForLabels, prepareOutputs, resolveSegmentOptions } from '../../ts/segment/segment_options.js'
import { similarityPresets } from '../../ts/segment/similarity_presets.js'
import { refusal } from './support.js'

const classSet = (background: string[] = ['sky']) =>
  ClassSet.create({
    ...{ names: ['cat', 'dog'], background, droppedBackground: [], templates: ['{}'], fusion: 'sentence', fingerprint: 'f' },
    ...{ embedding: 1, rows: Float32Array.of(1, 1), firstRow: Int32Array.of(0, 1, 2) },
    ...{ backgroundRows: new Float32Array(background.length), labelThresholds: [undefined, 0.7] },
  })
const resolve = (given?: object, classes = classSet()) => resolveSegmentOptions('call()', given as SegmentOptions, classes)
const refused = (given: object, classes?: ClassSet) => refusal(() => resolve(given, classes))

const settings = {
  ...{ maps: undefined, scales: Float64Array.of(1), flip: false, refine: true, boxThreshold: 0.4, minScore: 0 },
  ...{ backgroundPower: 1, backgroundBelow: 0, ignoreBelow: 0, crf: undefined },
}

test('every option has its documented default', () => {
  assert.equal(resolve(), {
    ...{ labels: [0, 1], labelThresholds: [0.15, 0.7], settings, include: new Set(), output: {}, signal: undefined },
  })
})

test('options are kept as they are given', () => {
  const { signal } = new AbortController()
  const output = { mask: new Uint8Array(1), cams: new Float32Array(1) }
  const found = resolve({
    ...{ labels: ['dog', 0], scales: [0.5, 2], flip: true, refine: false, boxThreshold: 0.1, minScore: 0.2 },
    ...{ backgroundPower: 3, backgroundBelow: 0.4, ignoreBelow: 0.3, include: ['confidence'], output, signal },
  })
  assert.equal(found.settings, {
    ...settings,
    ...{ scales: Float64Array.of(0.5, 2), flip: true, refine: false, boxThreshold: 0.1, minScore: 0.2 },
    ...{ backgroundPower: 3, backgroundBelow: 0.4, ignoreBelow: 0.3 },
  })
  assert.equal(found.labels, [1, 0])
  assert.equal(found.include, new Set(['confidence', 'cams']), 'what has an output is included')
  assert.is(found.output, output)
  assert.is(found.signal, signal)
  const auto = resolve({ labels: 'auto', labelThreshold: 0.5 })
  assert.equal([auto.labels, auto.labelThresholds], ['auto', [0.5, 0.5]])
})

test('the limits of numbers are accepted, and the next values are refused with the whole range', () => {
  for (const [name, lowest, highest] of [
    ['boxThreshold', 0, 1],
    ['minScore', 0, 1],
    ['ignoreBelow', 0, 1],
    ['backgroundPower', 0, 1e6],
    ['backgroundBelow', 0, 1],
  ] as const) {
    for (const value of [lowest, highest]) assert.is(resolve({ [name]: value }).settings[name], value)
    for (const value of [lowest - 0.5, highest + 0.5])
      assert.is(refused({ [name]: value }), `call(): ${name} is ${value}; expected a number from ${lowest} to ${highest}`)
  }
  for (const value of [0, 1]) assert.equal(resolve({ labels: 'auto', labelThreshold: value }).labelThresholds, [value, value])
  for (const value of [-0.5, 1.5])
    assert.is(
      refused({ labels: 'auto', labelThreshold: value }),
      `call(): labelThreshold is ${value}; expected a number from 0 to 1`,
    )
})

test('there are 1 to 16 scales from a quarter to four, each once', () => {
  const many = Array.from({ length: 17 }, (_, i) => 1 + i / 16)
  assert.equal([...resolve({ scales: many.slice(1) }).settings.scales], many.slice(1))
  assert.equal([...resolve({ scales: [0.25, 4] }).settings.scales], [0.25, 4])
  assert.is(refused({ scales: many }), 'call(): scales has 17 elements; expected 1 to 16')
  assert.is(refused({ scales: [] }), 'call(): scales has 0 elements; expected 1 to 16')
  assert.is(refused({ scales: [1, 0.2] }), 'call(): scales[1] is 0.2; expected a number from 0.25 to 4')
  assert.is(refused({ scales: [4.1] }), 'call(): scales[0] is 4.1; expected a number from 0.25 to 4')
  assert.is(refused({ scales: [2, 2] }), "call(): scales has '2' twice; leave one out")
})

test('the error for wrong labels, parts and outputs says what to give', () => {
  for (const [given, message] of [
    [{ labels: 'cat' }, "labels is 'cat'; expected an array of names or indices, or 'auto'"],
    [{ labels: [] }, 'labels has 0 elements; expected 1 or more'],
    [{ labels: ['cta'] }, "unknown label 'cta'; did you mean 'cat'? known: cat, dog"],
    [{ labels: ['cat', 2] }, 'labels[1] is 2; expected a whole number from 0 to 1'],
    [{ labels: [true] }, 'labels[0] is true; expected the name of a class, or its index'],
    [{ labels: [1, 'dog'] }, "labels has 'dog' twice; leave one out"],
    [{ labelThreshold: 0.2 }, "labelThreshold is 0.2, but it is only for labels: 'auto'; leave it out"],
    [{ flip: 0 }, 'flip is 0; expected true or false'],
    [{ refine: 0 }, 'refine is 0; expected true or false'],
    [{ include: 'cams' }, "include is 'cams'; expected an array"],
    [{ include: ['mask'] }, "include has 'mask', but a result always has the mask; leave it out"],
    [{ include: ['x'] }, "unknown include 'x'; known: confidence, cams"],
    [{ signal: 1 }, 'signal is 1; expected an AbortSignal'],
    [{ output: { masks: 1 } }, "output: unknown option 'masks'; did you mean 'mask'? known: mask, confidence, cams"],
    [
      { labels: 'auto', output: { cams: new Float32Array(1) } },
      "output.cams cannot be used with labels 'auto', whose number is not known before; use include: ['cams']",
    ],
    [
      { x: 1 },
      "unknown option 'x'; known: labels, labelThreshold, maps, scales, flip, refine, boxThreshold, minScore, backgroundPower, backgroundBelow, crf, ignoreBelow, …",
    ],
  ] as const)
    assert.is(refused(given), `call(): ${message}`)
  assert.is(
    refused({ labels: 'auto' }, classSet([])),
    "call(): labels 'auto' cannot be used without background words, which say what is none of the classes; encode the classes with some",
  )
})

test('maps are GradCAM, or a preset of which single settings are replaced', () => {
  const maps = (given: unknown) => resolve({ maps: given }).settings.maps
  assert.is(maps('gradcam'), undefined)
  assert.equal(maps('similarity'), similarityPresets.naclip)
  assert.equal(maps({}), similarityPresets.naclip)
  for (const preset of ['clip', 'naclip', 'resclip', 'sc-clip'] as const)
    assert.equal(maps({ preset }), similarityPresets[preset])
  const own = { ...similarityPresets.clip, attention: 'key', residual: false, window: 224, fuse: true }
  assert.equal(maps({ preset: 'clip', attention: 'key', residual: false, window: 224, fuse: true, mix: undefined }), own)
  assert.is(refused({ maps: 1 }), "call(): maps is 1; expected 'gradcam', 'similarity' or an object of settings")
  assert.is(refused({ maps: 'naclip' }), "call(): unknown maps 'naclip'; known: gradcam, similarity")
  assert.is(
    refused({ maps: { preset: 'clp' } }),
    "call(): unknown maps.preset 'clp'; did you mean 'clip'? known: clip, naclip, resclip, sc-clip",
  )
  assert.is(
    refused({ maps: { y: 1 } }),
    "call(): maps: unknown option 'y'; known: preset, attention, neighbourhood, residual, feedForward, attendClass, mix, mixFactor, repair, midAttention, aggregate, fuse, …",
  )
})

test('the presets have the settings of their papers', () => {
  const naclip = {
    ...{ attention: 'key', neighbourhood: 5, residual: false, feedForward: false, attendClass: true, mix: 0, mixFactor: 1 },
    ...{ repair: 0, midAttention: false, aggregate: false, fuse: false, classToken: 0, logitScale: 40, window: 0, stride: 0 },
  }
  const scClip = { repair: 0.05, midAttention: true, aggregate: true, fuse: true, classToken: 0.3 }
  assert.equal(similarityPresets, {
    clip: { ...naclip, attention: 'query', neighbourhood: 0, residual: true, feedForward: true },
    naclip,
    resclip: { ...naclip, mix: 0.3, mixFactor: 2 },
    'sc-clip': { ...naclip, neighbourhood: 0, attendClass: false, ...scClip },
  })
})

test('the limits of settings of maps are accepted, and the next values are refused with the whole range', () => {
  for (const [name, lowest, highest, kind] of [
    ['neighbourhood', 0, 1e6, 'a number'],
    ['mix', 0, 1, 'a number'],
    ['mixFactor', 0.001, 1000, 'a number'],
    ['repair', 0, 0.5, 'a number'],
    ['classToken', 0, 10, 'a number'],
    ['logitScale', 0.001, 10_000, 'a number'],
    ['window', 0, 1e6, 'a whole number'],
    ['stride', 0, 1e6, 'a whole number'],
  ] as const) {
    for (const value of [lowest, highest]) assert.is(resolve({ maps: { [name]: value } }).settings.maps?.[name], value)
    for (const value of [lowest - 1, highest + 1])
      assert.is(
        refused({ maps: { [name]: value } }),
        `call(): maps.${name} is ${value}; expected ${kind} from ${lowest} to ${highest}`,
      )
  }
  for (const name of ['residual', 'feedForward', 'attendClass', 'midAttention', 'aggregate', 'fuse'] as const) {
    for (const value of [false, true]) assert.is(resolve({ maps: { [name]: value } }).settings.maps?.[name], value)
    assert.is(refused({ maps: { [name]: 1 } }), `call(): maps.${name} is 1; expected true or false`)
  }
  for (const value of ['query', 'key']) assert.is(resolve({ maps: { attention: value } }).settings.maps?.attention, value)
  assert.is(refused({ maps: { attention: 'value' } }), "call(): unknown maps.attention 'value'; known: query, key")
})

test("results are written into the caller's memory, or into new memory of the right size", () => {
  const own = { mask: new Uint8Array(6), confidence: new Float32Array(6), cams: new Float32Array(12) }
  assert.equal(prepareOutputs('call()', resolve(), 6, undefined), { mask: new Uint8Array(6) })
  const all = resolve({ include: ['confidence', 'cams'] })
  const outputs = prepareOutputs('call()', all, 6, undefined)
  assert.equal(outputs, { mask: new Uint8Array(6), confidence: new Float32Array(6) })
  assert.equal(allocateForLabels('call()', all.include, outputs, 2, 6), {
    scores: new Float32Array(2),
    cams: new Float32Array(12),
  })
  assert.equal(allocateForLabels('call()', new Set(), outputs, 3, 6), { scores: new Float32Array(3) })
  const given = resolve({ output: own })
  const filled = prepareOutputs('call()', given, 6, new Uint8Array(18))
  for (const part of ['mask', 'confidence', 'cams'] as const) assert.is(filled[part], own[part])
  assert.is(allocateForLabels('call()', given.include, filled, 2, 6).cams, own.cams)
})

test('outputs of another size or type, and outputs that overlap, are refused by name', () => {
  const prepare = (output: object, image?: ArrayBufferView) =>
    refusal(() => prepareOutputs('call()', resolve({ output }), 6, image))
  const needs = (count: number) => `this image and these labels need ${count}`
  assert.is(prepare({ mask: new Uint8Array(5) }), `call(): output.mask has 5 elements; ${needs(6)}`)
  assert.is(prepare({ confidence: new Float32Array(7) }), `call(): output.confidence has 7 elements; ${needs(6)}`)
  assert.is(prepare({ cams: new Float32Array(6) }), `call(): output.cams has 6 elements; ${needs(12)}`)
  assert.match(prepare({ mask: new Float32Array(6) }), /^call\(\): output\.mask is Float32Array\(6\).*; expected a Uint8Array$/)
  assert.match(prepare({ cams: new Uint8Array(12) }), /^call\(\): output\.cams is Uint8Array\(12\).*; expected a Float32Array$/)
  const memory = new ArrayBuffer(60)
  const mask = (at: number) => new Uint8Array(memory, at, 6)
  const confidence = new Float32Array(memory, 12, 6)
  const remedy = 'overlap in memory; give each its own'
  assert.is(prepare({ mask: mask(7), confidence }), `call(): output.mask and output.confidence ${remedy}`)
  assert.is(prepare({ mask: mask(35), confidence }), `call(): output.confidence and output.mask ${remedy}`)
  assert.is(prepare({ mask: mask(8) }, new Uint8Array(memory, 13, 18)), `call(): output.mask and image.data ${remedy}`)
  for (const at of [6, 36]) prepareOutputs('call()', resolve({ output: { mask: mask(at), confidence } }), 6, undefined)
  prepareOutputs('call()', resolve({ output: { mask: mask(0), confidence } }), 6, new Uint8Array(memory, 36, 18))
})

test('more memory than there can be is an error with the remedy', () => {
  const none = (work: () => unknown) => {
    try {
      work()
    } catch (error) {
      return `${(error as { code: string }).code} ${(error as Error).message}`
    }
    return 'no error'
  }
  const many = 2 ** 40
  const message = (part: string, count: number, remedy: string) =>
    `ERR_OUT_OF_MEMORY call(): ${part} needs ${count} elements, more than can be allocated; ${remedy}`
  assert.is(
    none(() => prepareOutputs('call()', resolve(), 2 ** 53, undefined)),
    message('mask', 2 ** 53, 'take a smaller photo or fewer labels'),
  )
  assert.is(
    none(() => allocateForLabels('call()', new Set(['cams']), { mask: new Uint8Array() }, 4, many * 2048)),
    message('cams', many * 8192, 'ask for fewer labels or leave cams out'),
  )
})

test.run()
