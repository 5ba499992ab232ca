// The parts of clip-es prompts that need no model: what is compared, what is refused, and where embeddings are kept.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { calibrateThresholds } from '../../cli/src/prompts/calibrate.js'
import { candidatesOf } from '../../cli/src/prompts/candidates.js'
import { promptsCommand } from '../../cli/src/prompts/command.js'
import { defaultCacheFile, encoderKey, FeatureCache } from '../../cli/src/prompts/feature_cache.js'
import type { PromptsOptions } from '../../cli/src/prompts/options.js'
import { candidatesAsked, encodingAsked, templatesNamed } from '../../cli/src/prompts/plan.js'
import { prompts } from '../../cli/src/prompts/run.js'
import { calibrate } from '../../cli/src/prompts/thresholds.js'
import { photoState } from '../../cli/src/results/journal.js'
import { UsageError } from '../../cli/src/shared/usage.js'
import { backgrounds, type ClassFile, templates } from '../../ts/index.js'
import { cacheFolder } from '../../ts/support/index.js'
import { otherModelPath, reasonOf, temporaryFolder } from './support.js'

const folder = temporaryFolder()
const file: ClassFile = {
  classes: [
    { name: 'cat', synonyms: ['cat', 'kitten'] },
    { name: 'dog', synonyms: ['dog'] },
  ],
}
const own: ClassFile = { ...file, template: 'own {}.', background: ['own'], fusion: 'cam' }
writeFileSync(join(folder, 'classes.json'), JSON.stringify(file))
writeFileSync(join(folder, 'bare.json'), JSON.stringify({ classes: [{ name: 'cat' }] }))
writeFileSync(join(folder, 'x.jpg'), '')
writeFileSync(join(folder, 'labels.csv'), 'x.jpg,cat\n')
writeFileSync(join(folder, 'no-labels.csv'), 'x.jpg\n')

const given = (...args: string[]): PromptsOptions =>
  promptsCommand()
    .exitOverride()
    .configureOutput({ writeErr() {} })
    .action(() => undefined)
    .parse([...args, '--model', otherModelPath], { from: 'user' })
    .opts()
const photos = ['--folder', folder, '--labels', join(folder, 'labels.csv'), '--class-file', join(folder, 'classes.json')]

async function refused(work: () => unknown, message: string): Promise<void> {
  const error = (await reasonOf((async () => work())())) as Error
  assert.ok(error instanceof UsageError, String(error))
  assert.is(error.message, `prompts: ${message}`)
}

test("classes become texts as the options say, else as the class file does, else as in the paper's", () => {
  assert.equal(encodingAsked(given(), file), { template: templates.clip_es, background: backgrounds.voc, fusion: 'sentence' })
  assert.equal(encodingAsked(given(), own), { template: 'own {}.', background: ['own'], fusion: 'cam' })
  const options = given('--template', 'a {}.', '--background', 'sky,sea', '--fusion', 'feature')
  assert.equal(encodingAsked(options, own), { template: 'a {}.', background: ['sky', 'sea'], fusion: 'feature' })
})

test('background words are in the softmax if asked for, and always where they are compared', () => {
  const asked = (...args: string[]) => candidatesAsked(given(...args), own)
  assert.is(asked().softmax, 'classes alone')
  assert.is(asked('--with-background', '--background', 'sky').softmax, 'with background')
  const { candidates, softmax } = asked('--rank', 'backgrounds', '--background', 'sky', '--background', 'sea,ice')
  assert.is(softmax, 'with background')
  assert.equal(
    candidates.map(({ name, encoding }) => [name, encoding]),
    [
      ['none', []],
      ['of the class file', ['own']],
      ["the paper's for VOC", backgrounds.voc],
      ["the paper's for COCO", backgrounds.coco],
      ['sky', ['sky']],
      ['sea, ice', ['sea', 'ice']],
    ].map(([name, background]) => [name, { template: 'own {}.', background, fusion: 'cam' }]),
  )
  const same = asked('--rank', 'backgrounds', '--background', 'own').candidates
  assert.equal(
    same.map(({ name }) => name),
    ['none', 'of the class file', "the paper's for VOC", "the paper's for COCO"],
  )
  assert.is(asked('--templates', 'imagenet').candidates.length, 80)
  assert.equal(asked('--rank', 'fusions', '--template', 'x {}').candidates[0]?.encoding, {
    ...{ template: 'x {}', background: ['own'], fusion: 'sentence' },
  })
})

test('options that do not fit together are refused with the remedy', async () => {
  const asked = (args: string[], message: string) => refused(() => candidatesAsked(given(...args), file), message)
  await asked(
    ['--by', 'entropy', '--rank', 'fusions'],
    '--by entropy cannot be used with --rank fusions; it compares templates, because their words are the same',
  )
  await asked(['--background', 'sky'], '--background needs --with-background, because the softmax is over the classes only')
  const rank = '--rank'
  await asked(
    [rank, 'fusions', '--templates', 'paper'],
    '--templates cannot be used with --rank fusions; choose the template with --template',
  )
  await asked(['--template', 'a {}.'], '--template cannot be used with --rank templates, which compares them')
  await asked([rank, 'fusions', '--fusion', 'cam'], '--fusion cannot be used with --rank fusions, which compares them')
  const twice = ['--with-background', '--background', 'a', '--background', 'b']
  await asked(twice, '--background is given 2 times; only --rank backgrounds compares several lists')
  await refused(() => prompts(given(...photos, '--out', 'x')), '--out needs --thresholds; --plot and --json give a ranking')
  const auto = ['--folder', folder, '--labels', 'auto', '--class-file', join(folder, 'classes.json')]
  await refused(
    () => prompts(given(...auto)),
    'sharpness compares the classes that are known to be in a photo; --labels must name a file, or use --by entropy',
  )
  await refused(
    () => prompts(given(...photos)),
    'none of the 1 photo has two labels or more; sharpness compares the labels of one photo',
  )
  const thresholds =
    (...args: string[]) =>
    () =>
      calibrateThresholds(given('--thresholds', ...args))
  await refused(thresholds(...auto), '--thresholds needs photos whose labels are known; --labels must name a file')
  const none = photos.with(3, join(folder, 'no-labels.csv'))
  await refused(thresholds(...none), 'none of the 0 photos has a label; --thresholds needs photos whose labels are known')
  await refused(
    thresholds(...photos, '--background', ''),
    '--thresholds needs background words, which stand for everything that is not a class; give some with --background',
  )
})

test('where there is nothing to compare, the message says what to add', () => {
  const lists = { templates: ['{}'], backgrounds: [] }
  const plain: ClassFile = { classes: [{ name: 'cat', synonyms: ['cat'] }, { name: 'dog' }] }
  const base = encodingAsked(given(), plain)
  for (const [rank, remedy] of [
    ['templates', 'name more of them with --templates'],
    ['synonyms', 'no class of the class file has synonyms; add some'],
    ['fusions', 'no class of the class file has two synonyms, so all fusions are equal; add some'],
  ] as const)
    assert.throws(
      () => candidatesOf(rank, plain, base, lists),
      (error: { code: string; message: string }) =>
        error.code === 'ERR_INVALID_ARG' && error.message === `there is nothing to compare: ${remedy}`,
    )
  const other = candidatesOf('synonyms', { classes: [{ name: 'cat', synonyms: ['kitten'] }] }, base, lists)
  assert.equal(
    other.map(({ name, words }) => [name, words]),
    ['cat', 'kitten'].map((word) => [word, { index: 0, synonyms: [word] }]),
  )
})

test('a file of templates is a JSON list or lines; another one is refused with the names that are known', () => {
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  assert.equal(templatesNamed(write('t.JSON', '["a {}."]')), ['a {}.'])
  assert.equal(templatesNamed(write('t', 'a {}.\r\n \rb {}\n')), ['a {}.', 'b {}'])
  for (const text of ['{}', '[]']) {
    const path = write('bad.json', text)
    const message = `--templates: ${path}: it contains no list of templates; known by name: paper, imagenet, all`
    assert.throws(() => templatesNamed(path), message)
  }
  assert.throws(() => templatesNamed(write('empty.txt', '\n')), /it contains no list of templates/)
  assert.throws(() => templatesNamed('toString'), /ENOENT/)
})

// ---------------------------------------------------------------- embeddings in a file
test('the file of a data set is in the cache, under its name and a hash of its path', () => {
  assert.is(defaultCacheFile('/a/photos'), join(cacheFolder(), 'embeddings', 'photos-5a9fbd3416.jsonl'))
  assert.is(encoderKey('model', 1024), encoderKey('model', 1024))
  assert.match(encoderKey('model', 1024), /^[0-9a-f]{16}$/)
  assert.is.not(encoderKey('model', 1024), encoderKey('model', 1025))
})

test('the file begins with its format, and lines that are not whole entries are skipped', () => {
  const cache = join(folder, 'embeddings/cache.jsonl')
  const photo = join(folder, 'x.jpg')
  const state = photoState(photo)
  const embedding = { image: Float32Array.of(0.5, 0.25), logitScale: 100 }
  new FeatureCache(cache, 'key', 2).add(photo, state, embedding)
  const line = { photo, ...state, encoder: 'key', logitScale: 100, embedding: 'AAAAPwAAgD4=' }
  const head = '{"format":"clip-es image embeddings","version":1}\n'
  assert.is(readFileSync(cache, 'utf8'), `${head}${JSON.stringify(line)}\n`)
  for (const damaged of [{ logitScale: 0 }, { logitScale: '100' as never, embedding: 3 }, { photo: 3 }, { encoder: 'other' }])
    appendFileSync(cache, `${JSON.stringify({ ...line, embedding: 'AACAPwAAgD8=', ...damaged })}\n`)
  assert.equal(new FeatureCache(cache, 'key', 2).get(photo), embedding)
  appendFileSync(
    cache,
    `${JSON.stringify({ ...line, embedding: Buffer.from(Float32Array.of(1, Number.NaN).buffer).toString('base64') })}\n`,
  )
  assert.is(new FeatureCache(cache, 'key', 2).get(photo), undefined)
  appendFileSync(cache, `${JSON.stringify({ ...line, bytes: state.bytes + 1 })}\n`)
  assert.is(new FeatureCache(cache, 'key', 2).get(photo), undefined)
  writeFileSync(cache, '')
  assert.is(new FeatureCache(cache, 'key', 2).get(photo), undefined)
  assert.is(readFileSync(cache, 'utf8'), head, 'an empty file is begun')
  writeFileSync(cache, `${head}{"torn`)
  const torn = new FeatureCache(cache, 'key', 2)
  torn.add(photo, state, embedding)
  torn.add(photo, state, embedding)
  assert.is(readFileSync(cache, 'utf8'), `${head}{"torn\n${JSON.stringify(line)}\n${JSON.stringify(line)}\n`)
  for (const text of ['', `${head}{}\n`]) {
    writeFileSync(cache, text)
    new FeatureCache(cache, 'key', 2).add(photo, state, embedding)
    assert.is(readFileSync(cache, 'utf8'), `${text || head}${JSON.stringify(line)}\n`)
  }
  writeFileSync(cache, 'a letter')
  const message = `the embeddings of photos cannot be kept in ${cache} (it does not contain embeddings of clip-es); name another file with --cache`
  assert.throws(() => new FeatureCache(cache, 'key', 2), message)
  assert.ok(existsSync(cache))
})

// ---------------------------------------------------------------- thresholds
test('a threshold of its own is the best F1 with the weight of five labels of all classes, at most 0.99', () => {
  const of = (values: [presence: number, isThere: boolean][]) =>
    values.map(([presence, isThere]) => ({ presence: [presence], labels: isThere ? [0] : [] }))
  const thresholdOf = (values: [number, boolean][]) => calibrate(of(values), 1)[0]?.threshold
  assert.is(
    thresholdOf([
      [1, true],
      [1, true],
      [0.98, false],
      [0.98, false],
    ]),
    0.99,
  )
  assert.is(
    thresholdOf([
      [0.01, true],
      [0.01, true],
      [0.005, false],
    ]),
    0.01,
  )
  assert.is(
    thresholdOf([
      [0.5, true],
      [0.5, true],
      [0.2, false],
    ]),
    0.21,
    'the nearest to 0.15',
  )
  assert.is(
    thresholdOf([
      [0.1, true],
      [0.1, true],
      [0.04, false],
    ]),
    0.1,
  )
  // A tolerance of 0.01: with 2 of 102 photos wrong the default is as good, with 3 of 103 it is not.
  const wrong = (count: number) => [...Array(100).fill([0.5, true]), ...Array(count).fill([0.3, false])] as [number, boolean][]
  assert.equal([thresholdOf(wrong(2)), thresholdOf(wrong(3))], [0.15, 0.31])
  // Two classes: the second has one photo at 0.6, the first has many at 0.3 against 0.2.
  const many = Array.from({ length: 20 }, (_, i) => ({ presence: [i % 2 ? 0.3 : 0.2, 0], labels: i % 2 ? [0] : [] }))
  const rare = [
    { presence: [0, 0.6], labels: [1] },
    { presence: [0, 0.5], labels: [] },
  ]
  const found = calibrate([...many, ...rare], 2).map(({ threshold }) => threshold)
  assert.equal(found, [0.21, 0.21])
  const [first, second] = calibrate([...many, ...rare, ...rare, ...rare, ...rare, ...rare, ...rare], 2)
  assert.equal([first?.threshold, second?.threshold], [0.21, 0.51])
})

test.run()
