import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { planClasses } from '../../ts/classes/class_set.js'
import type { ClassSet, ClassSpec, EncodeClassesOptions } from '../../ts/index.js'
import { encode, photo, prepare, segmenter } from './classes_support.js'
import { crop, load, rejects, root } from './support.js'

test.before(prepare)
test.after(() => segmenter.close())

const scoresOf = async (classes: ClassSet) => (await segmenter.segment(crop(photo, 96, 96), classes, { refine: false })).scores

test('the error for a wrong argument has its name, its value and what was expected', async () => {
  const table: [unknown, unknown, ...string[]][] = [
    [undefined, {}, 'classes is undefined', 'an array'],
    ['cat', {}, "classes is 'cat'", 'an array'],
    [new Set(['cat']), {}, 'classes is Set', 'an array'],
    [[], {}, 'classes has 0 elements; expected 1 to 254'],
    [[''], {}, "classes[0] is ''", 'not empty'],
    [['cat', ' \n'], {}, "classes[1] is ' \\n'", 'not empty'],
    [['cat', 3], {}, 'classes[1] is 3', 'a name or { name, synonyms?, colour?, labelThreshold? }'],
    [[null], {}, 'classes[0] is null', 'a name or { name, synonyms?, colour?, labelThreshold? }'],
    [[['cat']], {}, 'classes[0] is [', 'a name or { name, synonyms?, colour?, labelThreshold? }'],
    [new Array(2), {}, 'classes[0] is undefined', 'a name'],
    [[{}], {}, 'classes[0].name is undefined', 'a text'],
    [[{ name: '' }], {}, "classes[0].name is ''", 'not empty'],
    [[{ name: 'cat', synonym: ['kitty'] }], {}, "unknown option 'synonym'", "did you mean 'synonyms'?"],
    [[{ name: 'cat', synonyms: 'kitty' }], {}, "classes[0].synonyms is 'kitty'", 'an array'],
    [[{ name: 'cat', synonyms: [] }], {}, 'classes[0].synonyms has 0 elements', '1 or more'],
    [[{ name: 'cat', synonyms: ['cat', ''] }], {}, "classes[0].synonyms[1] is ''", 'not empty'],
    [[{ name: 'cat', synonyms: ['a', 'b', 'a'] }], {}, "classes[0].synonyms has 'a' twice"],
    [['cat', 'dog', 'cat'], {}, "classes has 'cat' twice"],
    [['cat', { name: 'cat' }], {}, "classes has 'cat' twice"],
    [['cat'], null, 'options is null', 'an object'],
    [['cat'], ['sky'], "options is [ 'sky' ]", 'an object'],
    [['cat'], { templates: '{}' }, "unknown option 'templates'", "did you mean 'template'?"],
    [['cat'], { template: 'a cat' }, "the template 'a cat'", '{} in it exactly once'],
    [['cat'], { template: '{} and {}' }, "the template '{} and {}'", '{} in it exactly once'],
    [['cat'], { template: ['{}', ''] }, "the template ''", '{} in it exactly once'],
    [['cat'], { template: [3] }, 'the template 3', '{} in it exactly once'],
    [['cat'], { template: [] }, 'template has 0 elements', '1 or more'],
    [['cat'], { template: null }, 'template is null', 'an array'],
    [['cat'], { background: 'sky' }, "background is 'sky'", 'an array'],
    [['cat'], { background: ['sky', ''] }, "background[1] is ''", 'not empty'],
    [['cat'], { background: [3] }, 'background[0] is 3', 'a text'],
    [['cat'], { background: ['sky', 'sky'] }, "background has 'sky' twice"],
    [['cat'], { fusion: 'features' }, "unknown fusion 'features'", "did you mean 'feature'?"],
    [['cat'], { fusion: 'mean' }, "unknown fusion 'mean'", 'known: sentence, feature, cam'],
    [['cat'], { fusion: 1 }, 'fusion is 1', "'sentence' or 'feature' or 'cam'"],
    [['cat'], { signal: {} }, 'signal is {}', 'an AbortSignal'],
    [['<|endoftext|>'], {}, '<|endoftext|>', 'remove it'],
  ]
  for (const [classes, options, ...parts] of table)
    await rejects(segmenter.encodeClasses(classes as string[], options as EncodeClassesOptions), 'ERR_INVALID_ARG', ...parts)
  assert.is((await scoresOf(await encode(['elephant', 'panda']))).length, 2)
})

test('the error for a long prompt has the number of tokens, and a prompt that fills the context is accepted', async () => {
  const words = (count: number) => Array(count).fill('cat').join(' ')
  await rejects(encode([words(76)], { template: '{}' }), 'ERR_INVALID_ARG', 'has 76 tokens, 1 more than', '75')
  await rejects(encode(['panda', words(100)]), 'ERR_INVALID_ARG', 'has 104 tokens, 29 more than')
  await rejects(encode(['panda'], { background: [words(100)] }), 'ERR_INVALID_ARG', '29 more than')
  await rejects(encode([{ name: 'cat', synonyms: [words(50), words(51)] }]), 'ERR_INVALID_ARG', 'tokens')
  const longest = await encode([words(75), 'panda'], { template: '{}' })
  assert.not.equal(await scoresOf(longest), await scoresOf(await encode([words(74), 'panda'], { template: '{}' })))
})

test('a model with another vocabulary refuses tokens that it does not have', async () => {
  const small = await load(join(root, 'test/golden/patch32/model.pt'))
  await rejects(small.encodeClasses(['cat']), 'ERR_INVALID_ARG', 'outside the model', 'vocabulary')
  await small.close()
})

test("classes that are equal or empty after CLIP's text cleaning are refused by name", async () => {
  const refused = (specs: ClassSpec[], message: RegExp, background = ['sky']) =>
    assert.throws(
      () => planClasses(specs, { background }),
      (error: { code: string; message: string }) => {
        assert.is(error.code, 'ERR_INVALID_ARG')
        assert.match(error.message, message)
        return true
      },
    )
  refused(['cat', 'dog', 'Cat'], /CLIP reads the classes 'cat' and 'Cat' alike; leave one out, or give them other synonyms/)
  refused(['cat', { name: 'pet', synonyms: ['CAT '] }], /the classes 'cat' and 'pet' alike/)
  planClasses([{ name: 'mouse', synonyms: ['computer mouse'], colour: '#f80' }, 'Mouse'], {}) // an entry of a class file fits
  refused(['cat', '\u0001'], /CLIP reads nothing in "\\u0001"/)
  refused(['cat', { name: 'dog', synonyms: ['dog', '\u0345'] }], /CLIP reads nothing in/)
  refused(['cat'], /CLIP reads nothing in/, ['sky', '\u0000'])
})

test.run()
