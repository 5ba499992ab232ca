// How requests are read: options from texts, checks by a schema, questions and batches. No engine and no network.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { defaultLimits, type Service } from '../../server/src/index.js'
import { questionOf, textOptions } from '../../server/src/protocols/question.js'
import { readBatch } from '../../server/src/request/batch.js'
import { readQuestion } from '../../server/src/request/question.js'
import { readTexts } from '../../server/src/request/read_texts.js'
import type { Schema } from '../../server/src/request/schema.js'
import { validator } from '../../server/src/request/validate.js'
import { outcomeOf as errorOf } from './support.js'

const texts = (given: Parameters<typeof readTexts>[0]) => readTexts(given, (name) => name === 'voc')

test('texts become what a JSON body would have', () => {
  for (const [given, expected] of [
    [{ classes: 'voc' }, { classes: 'voc' }],
    [{ classes: 'cat' }, { classes: ['cat'] }],
    [{ classes: 'voc,cat' }, { classes: ['voc', 'cat'] }],
    [{ classes: ['voc', 'a,b'] }, { classes: ['voc', 'a', 'b'] }],
    [{ classes: ' ["a,b", {"name": "c"}]' }, { classes: ['a,b', { name: 'c' }] }],
    [{ classes: '{"name":"c"}' }, { classes: [{ name: 'c' }] }],
    [{ labels: 'auto' }, { labels: 'auto' }],
    [{ labels: ['auto', 'cat'] }, { labels: ['auto', 'cat'] }],
    [{ labels: '[0,"cat"]' }, { labels: [0, 'cat'] }],
    [
      { background: 'a,b', include: 'cams,confidence' },
      { background: ['a', 'b'], include: ['cams', 'confidence'] },
    ],
    [{ template: 'a {}, b' }, { template: ['a {}, b'][0] }],
    [{ template: ['a {}', 'b {}'] }, { template: ['a {}', 'b {}'] }],
    [{ template: '["a {}","b {}"]' }, { template: ['a {}', 'b {}'] }],
    [{ crf: 'true' }, { crf: true }],
    [
      { crf: 'false', flip: 'true', refine: 'false' },
      { crf: false, flip: true, refine: false },
    ],
    [
      { crf: 'yes', flip: '1', refine: '' },
      { crf: 'yes', flip: '1', refine: '' },
    ],
    [
      { crf: '{"rounds":2}', maps: '{"preset":"clip"}' },
      { crf: { rounds: 2 }, maps: { preset: 'clip' } },
    ],
    [{ maps: 'gradcam' }, { maps: 'gradcam' }],
    [{ scales: '0.5,1' }, { scales: [0.5, 1] }],
    [{ scales: ['[0.5,"x"]'] }, { scales: [0.5, 'x'] }],
    [{ scales: ['1', 'x'] }, { scales: [1, 'x'] }],
    [
      { labelThreshold: '0.1', boxThreshold: '0', minScore: '1e-3', backgroundPower: ' 2 ', ignoreBelow: '' },
      { labelThreshold: 0.1, boxThreshold: 0, minScore: 0.001, backgroundPower: 2, ignoreBelow: '' },
    ],
    [{ ignoreBelow: 'low' }, { ignoreBelow: 'low' }],
    [
      { format: 'json', constructor: 'x' },
      { format: 'json', constructor: 'x' },
    ],
  ] as [Parameters<typeof readTexts>[0], object][])
    assert.equal(texts(given), expected)
})

test('texts that cannot be read are refused with their name', () => {
  assert.match(
    errorOf(() => texts({ classes: '[1,' })),
    /^ERR_INVALID_ARG \| classes: '\[1,' looks like JSON but is not \(.+\); correct it$/,
  )
  assert.match(
    errorOf(() => texts({ background: 'a,,b' })),
    /^ERR_INVALID_ARG \| background is 'a,,b'\. A word is missing before or after/,
  )
  for (const name of ['crf', 'flip', 'refine', 'maps', 'minScore', 'format'])
    assert.is(
      errorOf(() => texts({ [name]: ['a', 'b'] })),
      `ERR_INVALID_ARG | ${name} is given 2 times; give it once`,
    )
  for (const name of ['labels', 'background', 'include', 'template', 'scales']) texts({ [name]: ['a', 'b'] })
})

test('a value that a schema does not take is refused in words', () => {
  const either: Schema = {
    oneOf: [{ const: 'auto' }, { type: 'array', items: { oneOf: [{ type: 'string' }, { type: 'integer' }] } }],
  }
  const properties: Record<string, Schema> = {
    either,
    kind: { type: 'string', enum: ['mask', 'json'] },
    list: { type: 'array', minItems: 1, maxItems: 2 },
    inner: { type: 'object', required: ['name'], properties: { name: { type: 'string' } }, additionalProperties: false },
    flag: { type: 'boolean' },
    amount: { type: 'number' },
    whole: { type: 'integer' },
    several: { type: ['string', 'null'] },
  }
  const check = validator<object>('call', { type: 'object', required: ['flag'], properties, additionalProperties: false })
  const good = { flag: true, either: ['a', 1], kind: 'json', list: [1], inner: { name: 'n' }, amount: 0.5, whole: 2 }
  assert.is(check(good), good)
  check({ flag: false, either: 'auto' })
  for (const [given, message] of [
    [{}, "the request lacks 'flag'; add it"],
    [7, 'the request is 7; expected an object'],
    [{ flag: 1 }, 'flag is 1; expected true or false'],
    [{ flag: true, amount: 'x' }, "amount is 'x'; expected a number"],
    [{ flag: true, whole: 1.5 }, 'whole is 1.5; expected a whole number'],
    [{ flag: true, inner: 'x' }, "inner is 'x'; expected an object"],
    [{ flag: true, inner: { name: 1 } }, 'inner.name is 1; expected a text'],
    [{ flag: true, inner: {} }, "inner lacks 'name'; add it"],
    [{ flag: true, list: 'x' }, "list is 'x'; expected a list"],
    [{ flag: true, list: [] }, 'list has 0 elements; expected at least 1'],
    [{ flag: true, list: [1, 2, 3] }, 'list has 3 elements; expected at most 2'],
    [{ flag: true, several: 1 }, 'several is 1; expected another value'],
    [{ flag: true, kind: 3 }, "kind is 3; expected 'mask' or 'json'"],
    [{ flag: true, either: true }, "either is true; expected 'auto' or a list"],
    [{ flag: true, either: [true] }, 'either[0] is true; expected a text or a whole number'],
  ] as const)
    assert.is(
      errorOf(() => check(given)),
      `ERR_INVALID_ARG | call: ${message}`,
    )
  assert.is(
    errorOf(() => check({ flag: true, kind: 'jsn' })),
    "ERR_INVALID_ARG | call: unknown kind 'jsn'; did you mean 'json'? known: mask, json",
  )
  assert.is(
    errorOf(() => check({ flga: true })),
    "ERR_INVALID_ARG | call: the request lacks 'flag'; add it",
  )
  assert.is(
    errorOf(() => check({ flag: true, knid: 1 })),
    `ERR_INVALID_ARG | call: unknown option 'knid'; did you mean 'kind'? known: ${Object.keys(properties).join(', ')}`,
  )
  assert.is(
    errorOf(() => check({ flag: true, inner: { name: 'n', nmae: 1 } })),
    "ERR_INVALID_ARG | call: inner: unknown option 'nmae'; did you mean 'name'? known: name",
  )
})

test('a question has its classes and options apart, and what an answer is', () => {
  const ask = (given: object, limits: Partial<typeof defaultLimits> = {}) =>
    readQuestion(given, () => 'overlay', { ...defaultLimits, ...limits })
  assert.equal(ask({ classes: ['cat'] }), {
    question: { classes: ['cat'], classOptions: {}, options: {} },
    answer: { format: 'overlay', shapes: 'rle' },
  })
  const all = {
    classes: 'voc',
    background: ['sky'],
    fusion: undefined,
    crf: true,
    format: 'json',
    shapes: 'none',
    include: ['confidence'],
  }
  assert.equal(ask(all), {
    question: { classes: 'voc', classOptions: { background: ['sky'] }, options: { crf: true, include: ['confidence'] } },
    answer: { format: 'json', shapes: 'none' },
  })
  assert.equal(ask({ classes: ['a'], format: 'npz', include: ['confidence'] }).question.options, { include: ['cams'] })
  assert.match(
    errorOf(() => ask({})),
    /^ERR_INVALID_ARG \| classes is missing: name what to look for, such as classes=cat,dog/,
  )
  const words = { classes: ['a', { name: 'b', synonyms: ['x', 'y'] }, { name: 'c' }], background: ['d'] }
  ask(words, { words: 5 })
  assert.is(
    errorOf(() => ask(words, { words: 4 })),
    'ERR_INVALID_ARG | the request has 5 words; at most 4 are allowed: send fewer',
  )
  ask({ classes: 'voc', background: ['d', 'e'] }, { words: 2 })
  assert.match(
    errorOf(() => ask({ classes: 'voc', background: ['d', 'e'] }, { words: 1 })),
    /the request has 2 words/,
  )
})

const file = { classes: [{ name: 'cat' }], template: 'a {}', background: ['sky'], fusion: 'cam', boxThreshold: 0.3 }
const service = {
  limits: { ...defaultLimits, batchPhotos: 2 },
  classSets: { get: () => ({ ...file, name: 'set', builtIn: true }), has: (name: string) => name === 'set' },
} as unknown as Service

test('the tools take options as texts, those of the answer not', () => {
  assert.equal(
    [...textOptions].sort(),
    [
      ...[
        'background',
        'backgroundBelow',
        'backgroundPower',
        'boxThreshold',
        'crf',
        'flip',
        'fusion',
        'ignoreBelow',
        'labelThreshold',
        'labels',
        'maps',
      ],
      ...['minScore', 'refine', 'scales', 'template'],
    ].sort(),
  )
  assert.equal(questionOf(service, 'tool', ['a'], { crf: 'true', labels: 'a' }, { labels: 'auto', flip: true }), {
    classes: ['a'],
    classOptions: {},
    options: { labels: ['a'], flip: true, crf: true },
  })
  assert.is(
    errorOf(() => questionOf(service, 'tool', ['a'], { fromat: 'x' })).split(';')[0],
    "ERR_INVALID_ARG | tool: unknown option 'fromat'",
  )
  assert.match(
    errorOf(() => questionOf(service, 'tool', ['a'], { include: 'cams' })),
    /tool: unknown option 'include'/,
  )
})

test('a batch has photos by path or URL, and its class set', () => {
  assert.equal(readBatch({ photos: ['a/b.JPEG', 'HTTPS://h.test/x/c%20d.png?e'], classes: 'set', boxThreshold: 0.5 }, service), {
    photos: [
      { name: 'a/b', path: 'a/b.JPEG' },
      { name: 'c d', url: 'HTTPS://h.test/x/c%20d.png?e' },
    ],
    classes: { classes: [{ name: 'cat' }], template: 'a {}', background: ['sky'], fusion: 'cam' },
    options: { boxThreshold: 0.5 },
  })
  const own = { photos: [{ path: 'x.txt' }], classes: ['a', { name: 'b' }], fusion: 'feature', callback: 'https://c.test' }
  assert.equal(readBatch({ ...own, template: 'b {}' }, service), {
    photos: [{ name: 'x.txt', path: 'x.txt' }],
    classes: { classes: [{ name: 'a' }, { name: 'b' }], template: 'b {}', background: undefined, fusion: 'feature' },
    options: { boxThreshold: undefined },
    callback: 'https://c.test',
  })
  assert.is(readBatch({ photos: ['a.jpg'], classes: 'set' }, service).options.boxThreshold, 0.3)
  assert.equal(readBatch({ photos: [{ url: 'http://h.test/a.jpg', name: 'n', labels: [0] }], classes: 'set' }, service).photos, [
    { name: 'n', url: 'http://h.test/a.jpg', labels: [0] },
  ])
  const refused = (photo: unknown) => errorOf(() => readBatch({ photos: [photo], classes: 'set' }, service))
  const path = (what: string, shown: string) =>
    `ERR_INVALID_ARG | the ${what} of a photo is ${shown}; expected a path such as cats/1, without '..' and not from the root`
  for (const wrong of ['', '/a', '..', '../a', 'a/..', './a', 'a//b', 'a\\b', 'a\0b'])
    assert.is(refused({ path: wrong }).replace(/is .*; expected/s, 'is X; expected'), path('path', 'X'), wrong)
  assert.is(refused({ path: 'a.jpg', name: '../b' }), path('name', "'../b'"))
  assert.is(refused({}), 'ERR_INVALID_ARG | a photo of the batch has neither path nor url; give one of them')
  assert.is(refused({ path: 'a', url: 'b' }), 'ERR_INVALID_ARG | a photo of the batch has both path and url; give one of them')
  for (const url of ['nothing', 'http://h.test/%'])
    assert.is(
      refused({ url }),
      `ERR_INVALID_ARG | the url of a photo is '${url}'; expected one such as https://example.org/photo.jpg`,
    )
  assert.match(
    errorOf(() => readBatch(undefined, service)),
    /^ERR_INVALID_ARG \| batches: the request lacks 'photos'; add it$/,
  )
  assert.is(
    errorOf(() => readBatch({ photos: ['a', 'b', 'c'], classes: 'set' }, service)),
    'ERR_INVALID_ARG | the batch has 3 photos; at most 2 are allowed: send several batches',
  )
})

test.run()
