// Which texts classes become. Needs no model.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClassSet, checkPrompts, meanRows, planClasses, planRows } from '../../ts/classes/class_set.js'
import type { ClassSpec, EncodeClassesOptions } from '../../ts/index.js'
import { backgrounds } from '../../ts/text/prompts.js'
import { smallSet } from './class_set_support.js'
import { refusal } from './support.js'

const plan = (classes: unknown, options?: object) => planClasses(classes as ClassSpec[], options as EncodeClassesOptions)

test('classes are completed by the defaults of the paper', () => {
  assert.equal(plan(['bird house', { name: 'b', synonyms: ['c', 'd'], colour: '#fff', labelThreshold: 0 }]), {
    names: ['bird house', 'b'],
    words: [['bird house'], ['c', 'd']],
    labelThresholds: [undefined, 0],
    background: [...backgrounds.voc],
    droppedBackground: [],
    templates: ['a clean origami {}.'],
    fusion: 'sentence',
    signal: undefined,
  })
  const { signal } = new AbortController()
  const given = { template: ['a {}', 'the {}'], background: ['sky', 'Bird', 'C', 'cat'], fusion: 'cam', signal }
  assert.equal(plan(['bird', { name: 'b', synonyms: ['c'], labelThreshold: 1 }], given), {
    names: ['bird', 'b'],
    words: [['bird'], ['c']],
    labelThresholds: [undefined, 1],
    background: ['sky', 'cat'],
    droppedBackground: ['Bird', 'C'],
    templates: ['a {}', 'the {}'],
    fusion: 'cam',
    signal,
  })
  assert.is(plan(Array.from({ length: 254 }, (_, i) => `n ${i}`)).names.length, 254)
})

test('a wrong class or option is refused with what was expected', () => {
  const spec = 'expected a name or { name, synonyms?, colour?, labelThreshold? }'
  for (const [classes, options, message] of [
    [Array.from({ length: 255 }, (_, i) => `n ${i}`), {}, 'classes has 255 elements; expected 1 to 254'],
    [[], {}, 'classes has 0 elements; expected 1 to 254'],
    [[1], {}, `classes[0] is 1; ${spec}`],
    [[null], {}, `classes[0] is null; ${spec}`],
    [['a', []], {}, `classes[1] is []; ${spec}`],
    [[{ name: 'a', labelThreshold: -0.1 }], {}, 'classes[0].labelThreshold is -0.1; expected a number from 0 to 1'],
    [[{ name: 'a', labelThreshold: 1.1 }], {}, 'classes[0].labelThreshold is 1.1; expected a number from 0 to 1'],
    [[{ name: 'a', synonyms: ['b', 'b'] }], {}, "classes[0].synonyms has 'b' twice; leave one out"],
    [[{ name: 'a', synonyms: [''] }], {}, "classes[0].synonyms[0] is ''; expected a text that is not empty"],
    [[{ name: 'a', x: 1 }], {}, "classes[0]: unknown option 'x'; known: name, synonyms, colour, labelThreshold"],
    [['a', 'a'], {}, "classes has 'a' twice; leave one out"],
    [['a'], { background: ['b', 'b'] }, "background has 'b' twice; leave one out"],
    [['a'], { background: [' '] }, "background[0] is ' '; expected a text that is not empty"],
    [['a'], { template: [] }, 'template has 0 elements; expected 1 or more'],
    [['a'], { fusion: 'x' }, "unknown fusion 'x'; known: sentence, feature, cam"],
    [['a'], { x: 'x' }, "unknown option 'x'; known: template, background, fusion, signal"],
    [['a'], { signal: 1 }, 'signal is 1; expected an AbortSignal'],
    [['a', 'A'], {}, "CLIP reads the classes 'a' and 'A' alike; leave one out, or give them other synonyms"],
    [['\u0001'], {}, 'CLIP reads nothing in "\\u0001": it drops these characters; write a word'],
  ] as const)
    assert.is(
      refusal(() => plan(classes, options)),
      `encodeClasses(): ${message}`,
    )
  assert.is(
    refusal(() => plan(['a'], { template: '{} {}' })),
    "the template '{} {}' must be a string with {} in it exactly once, where the word goes",
  )
})

test('synonyms become one sentence, one row of sentences, or rows of their own', () => {
  const rows = (fusion: string) => {
    const { firstRow, ...texts } = planRows(
      plan(['a', { name: 'b', synonyms: ['c', 'd'] }], { fusion, template: ['1 {}', '2 {}'], background: ['sky', 'sea'] }),
    )
    assert.equal(texts.backgroundRows, [
      ['1 sky', '2 sky'],
      ['1 sea', '2 sea'],
    ])
    return [texts.rows, [...firstRow]]
  }
  assert.equal(rows('sentence'), [
    [
      ['1 a', '2 a'],
      ['1 c,d', '2 c,d'],
    ],
    [0, 1, 2],
  ])
  assert.equal(rows('feature'), [
    [
      ['1 a', '2 a'],
      ['1 c', '2 c', '1 d', '2 d'],
    ],
    [0, 1, 2],
  ])
  assert.equal(rows('cam'), [
    [
      ['1 a', '2 a'],
      ['1 c', '2 c'],
      ['1 d', '2 d'],
    ],
    [0, 1, 3],
  ])
})

test('prompts are as long as the context of the model at most, those of the background too', () => {
  const options = { template: '{}', background: ['cat cat'] }
  checkPrompts(['dog'], options, 4)
  const message = 'the prompt "cat cat" has 2 tokens, 1 more than the model\'s 1 + start and end; shorten it'
  assert.is(
    refusal(() => checkPrompts(['dog'], options, 3)),
    message,
  )
  assert.is(
    refusal(() => checkPrompts(['cat cat'], { ...options, background: [] }, 3)),
    message,
  )
})

test('the mean of embeddings has length one', () => {
  const embeddings = Float32Array.of(1, 0, 0, 1, 3, 4, 0, -2)
  const means = meanRows(embeddings, [2, 1, 1], 2)
  for (const [i, value] of [Math.SQRT1_2, Math.SQRT1_2, 0.6, 0.8, 0, -1].entries())
    assert.ok(Math.abs((means[i] as number) - value) < 1e-6)
  assert.is(means.length, 6)
  assert.is(
    refusal(() => meanRows(Float32Array.of(1, 0, 1, 0, -1, 0), [1, 2], 2)),
    'encodeClasses(): the embeddings of text 1 cancel out; use other synonyms or templates',
  )
})

test('the texts of a softmax are the rows of the labels, in their order', () => {
  const texts = ClassSet.texts(ClassSet.create(smallSet), [2, 1])
  assert.equal(texts, {
    rows: Float32Array.of(7, 8, 3, 4, 5, 6),
    firstRow: Int32Array.of(0, 1, 3),
    background: smallSet.backgroundRows,
    values: Uint8Array.of(3, 2),
  })
})

test('a class set cannot be changed', () => {
  const classes = ClassSet.create(smallSet)
  for (const part of [classes, classes.names, classes.background, classes.droppedBackground]) assert.ok(Object.isFrozen(part))
  assert.equal([classes.names, classes.background, classes.droppedBackground], [['a', 'b', 'c'], ['sky'], ['B']])
  assert.equal([ClassSet.fingerprint(classes), ClassSet.labelThresholds(classes)], ['f', [undefined, 0, 1]])
})

test.run()
