// What clip-es dataset plans to do before it loads a model: which photos, which settings, and what is refused.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { datasetCommand } from '../../cli/src/dataset/command.js'
import { findWork } from '../../cli/src/dataset/left.js'
import type { DatasetOptions } from '../../cli/src/dataset/options.js'
import { folderExchange } from '../../cli/src/dataset/photo.js'
import { jobOf, outputsOf, settingsOf } from '../../cli/src/dataset/plan.js'
import { Journal } from '../../cli/src/results/journal.js'
import { type Manifest, settingsHash } from '../../cli/src/results/manifest.js'
import { ResultStore } from '../../cli/src/results/store.js'
import { UsageError } from '../../cli/src/shared/usage.js'
import { classesFor, kindOf, readDataset, sourceOf } from '../../cli/src/sources/data_set.js'
import { PhotoList } from '../../cli/src/sources/photo_list.js'
import { ClassSet } from '../../ts/classes/class_set.js'
import { type ClassFile, classSets, type Segmenter, templates } from '../../ts/index.js'
import { embeddedModel } from '../../ts/support/index.js'
import { reasonOf, temporaryFolder } from './support.js'

const folder = temporaryFolder()
function write(path: string, content: string | Uint8Array = ''): string {
  const file = join(folder, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content)
  return file
}
const signal = new AbortController().signal

const dataset = (...args: string[]): DatasetOptions =>
  datasetCommand()
    .exitOverride()
    .configureOutput({ writeErr() {} })
    .action(() => undefined)
    .parse(args, { from: 'user' })
    .opts()

async function refused(work: () => unknown, message: string): Promise<void> {
  const error = (await reasonOf((async () => work())())) as Error
  assert.ok(error instanceof UsageError, String(error))
  assert.is(error.message, message)
}

// ---------------------------------------------------------------- which data set
test('a data set is named by one option and what belongs to it', async () => {
  const kind = (...args: string[]) => kindOf('dataset', dataset(...args))
  assert.equal([kind('--voc', 'x', '--split', 'y'), kind('--voc', 'x', '--split', 'y', '--labels', 'z')], ['voc', 'voc'])
  assert.is(kind('--coco', 'x', '--annotations', 'y'), 'coco')
  assert.is(kind('--coco', 'x', '--annotations', 'y', '--labels', 'auto', '--label-threshold', '0.5'), 'coco')
  assert.is(kind('--folder', 'x', '--labels', 'y'), 'folder')
  for (const [args, message] of [
    [[], 'name a data set: --voc DIR --split NAME, --coco DIR --annotations FILE, or --folder DIR --labels FILE'],
    [['--voc', 'x'], '--voc needs --split'],
    [['--coco', 'x'], '--coco needs --annotations'],
    [['--folder', 'x'], '--folder needs --labels'],
    [['--folder', 'x', '--labels', 'y', '--split', 'z'], '--split cannot be used with --folder'],
    [['--coco', 'x', '--annotations', 'y', '--split', 'z'], '--split cannot be used with --coco'],
    [['--voc', 'x', '--split', 'y', '--annotations', 'z'], '--annotations cannot be used with --voc'],
    [['--coco', 'x', '--annotations', 'y', '--labels', 'z'], '--labels cannot be used with --coco'],
    [['--folder', 'x', '--labels', 'y', '--label-threshold', '0'], '--label-threshold needs --labels auto'],
  ] as const)
    await refused(() => kind(...args), `dataset: ${message}`)
})

test('the source has whole paths, and labels that CLIP finds are not a path', () => {
  const of = (...args: string[]) => {
    const options = dataset(...args)
    return sourceOf(kindOf('dataset', options), options)
  }
  assert.equal(of('--voc', 'x', '--split', 'y'), { kind: 'voc', split: 'y', voc: resolve('x') })
  assert.equal(of('--voc', 'x', '--split', 'y', '--labels', 'z').labels, resolve('z'))
  assert.equal(of('--coco', 'x', '--annotations', 'y'), { kind: 'coco', coco: resolve('x'), annotations: resolve('y') })
  assert.equal(of('--folder', 'x', '--labels', 'auto'), { kind: 'folder', folder: resolve('x'), labels: 'auto' })
})

test("classes are those of the class file, else the data set's, else the embedded model's", async () => {
  assert.is(classesFor('dataset', 'folder', 'coco', 'x.pt'), classSets.coco)
  assert.is(classesFor('dataset', 'voc', undefined, 'x.pt'), classSets.voc)
  assert.is(classesFor('dataset', 'coco', undefined, 'x.pt'), classSets.coco)
  assert.is(classesFor('dataset', 'folder', undefined, embeddedModel()).classes.length, 72)
  await refused(
    () => classesFor('dataset', 'folder', undefined, 'x.pt'),
    'dataset: --folder needs --class-file, which names the classes and fixes their numbers in the masks',
  )
})

const file: ClassFile = { classes: [{ name: 'cat', colour: '#ff0000', labelThreshold: 0.3 }, { name: 'dog' }] }

test('the photos of each kind are read, with labels or without', async () => {
  write('photos/a.jpg')
  write('photos/b.jpg')
  write('voc/JPEGImages/1.jpg')
  write('voc/ImageSets/Segmentation/all.txt', '1')
  write('voc/Annotations/1.xml', '<annotation><object><name>dog</name></object></annotation>')
  const images = [{ id: 1, file_name: 'a.jpg' }]
  const annotations = [{ image_id: 1, category_id: 5 }]
  const coco = write('coco.json', JSON.stringify({ images, annotations, categories: [{ id: 5, name: 'dog' }] }))
  const [photos, voc] = [join(folder, 'photos'), join(folder, 'voc')]
  const items = async (...args: string[]) => {
    const options = dataset(...args)
    const { items: found, failures } = await readDataset(kindOf('dataset', options), options, file)
    assert.equal(failures, [])
    return [...found].map(({ id, labels }) => [id, labels])
  }
  assert.equal(await items('--folder', photos, '--labels', write('l.csv', 'a.jpg,cat\n')), [['a', [0]]])
  assert.equal(await items('--folder', photos, '--labels', 'auto'), [['a', undefined], ['b', undefined]]) // biome-ignore format: a table
  assert.equal(await items('--voc', voc, '--split', 'all'), [['1', [1]]])
  assert.equal(await items('--voc', voc, '--split', 'all', '--labels', write('v.csv', '1.jpg,cat\n')), [['1', [0]]])
  assert.equal(await items('--voc', voc, '--split', 'all', '--labels', 'auto'), [['1', undefined]])
  assert.equal(await items('--coco', photos, '--annotations', coco), [['a', [1]]])
  assert.equal(await items('--coco', photos, '--annotations', coco, '--labels', 'auto'), [['a', undefined]])
})

test('a part of the data set is i of n, and options of the queue that do not fit are refused', async () => {
  assert.equal(dataset('--shard', '2/3').shard, { part: 2, of: 3 })
  assert.equal(dataset('--shard', '1/1000000').shard, { part: 1, of: 1e6 })
  for (const [
    text,
    highest,
  ] of [['0/3', 3], ['4/3', 3], ['x', 1000000], ['1/0', 1000000], ['1/1000001', 1000000], ['1/2/3', 1000000]]) // biome-ignore format: a table
    assert.throws(() => dataset('--shard', text as string), new RegExp(`Expected a whole number from 1 to ${highest}\\.`))
  const run = (...args: string[]) => datasetCommand().exitOverride().parseAsync(args, { from: 'user' })
  const serve = ['--serve-photos', 'host:80']
  await refused(() => run('--root', 'x'), 'dataset: --root needs --queue')
  await refused(() => run(...serve), 'dataset: --serve-photos needs --queue')
  await refused(() => run('--detach'), 'dataset: --detach needs --queue')
  const queue = ['--queue', 'redis://x']
  await refused(
    () => run(...queue, ...serve, '--detach'),
    'dataset: --detach cannot be used with --serve-photos, because this process serves the photos',
  )
  await refused(
    () => run(...queue, ...serve, '--root', 'x'),
    'dataset: --root cannot be used with --serve-photos, which needs no common folder',
  )
})

// ---------------------------------------------------------------- settings of dataset
const segmenter = { model: { fingerprint: '01ab', precision: 'float32' } } as Segmenter
const settings = (of: ClassFile, ...args: string[]) => {
  const options = dataset(...args)
  return settingsOf(kindOf('dataset', options), options, of, segmenter)
}
const known = ['--folder', 'x', '--labels', 'y']

test('the settings of a run have every default filled in', () => {
  const plain = {
    ...{
      set: 'folder',
      model: '01ab',
      precision: 'float32',
      maxSide: '1024',
      classes: [{ name: 'cat', colour: '#ff0000' }, { name: 'dog' }],
    },
    ...{ template: templates.clip_es, background: classSets.voc.background, fusion: 'sentence', boxThreshold: 0.4 },
    ...{ backgroundPower: 1, ignoreBelow: 0, refine: true, crf: false },
  }
  assert.equal(settings(file, ...known), plain)
  const own: ClassFile = { ...file, template: 'own {}.', background: ['sky'], fusion: 'cam', boxThreshold: 0.25 }
  assert.equal(settings(own, ...known), { ...plain, template: 'own {}.', background: ['sky'], fusion: 'cam', boxThreshold: 0.25 })
  const flags = [
    '--template',
    'a {}.',
    '--background',
    'sea',
    '--box-threshold',
    '0.5',
    '--max-side',
    'none',
    '--flip',
    '--crf',
    '--no-refine',
  ]
  assert.equal(settings(own, ...known, ...flags, '--background-power', '2', '--ignore-below', '0.5'), {
    ...plain,
    ...{ template: 'a {}.', background: ['sea'], fusion: 'cam', boxThreshold: 0.5, maxSide: 'Infinity', flip: true, crf: true },
    ...{ refine: false, backgroundPower: 2, ignoreBelow: 0.5 },
  })
  assert.is(settings(file, '--voc', 'x', '--split', 'train').set, 'voc train')
  assert.is(settings(file, '--coco', 'x', '--annotations', 'a/instances_val2017.json').set, 'coco instances_val2017.json')
  const auto = settings(file, '--folder', 'x', '--labels', 'auto')
  assert.equal([auto.labelThreshold, auto.classes], [0.15, file.classes])
  const fixed = settings(file, '--folder', 'x', '--labels', 'auto', '--label-threshold', '0.5')
  assert.equal([fixed.labelThreshold, fixed.classes[0]?.labelThreshold], [0.5, undefined])
})

test('a run asks the engine for what its settings and outputs say', async () => {
  assert.equal(outputsOf(dataset()), ['mask'])
  assert.equal(outputsOf(dataset('--cams', '--confidence')), ['mask', 'confidence', 'cams'])
  const calls: unknown[][] = []
  const engine = {
    encodeClasses: async (...args: unknown[]) => {
      calls.push(args)
      return ClassSet.create({
        ...{ names: ['cat', 'dog'], background: ['sky'], droppedBackground: [], templates: ['a {}.'], fusion: 'sentence' },
        ...{ fingerprint: '', embedding: 1, rows: Float32Array.of(1, 1), backgroundRows: Float32Array.of(1) },
        ...{ labelThresholds: [undefined, undefined], firstRow: Int32Array.of(0, 1, 2) },
      })
    },
  } as unknown as Segmenter
  const of = settings(file, ...known)
  const { options, colours, settings: hash } = await jobOf(engine, of, ['mask', 'cams'], signal)
  const encoding = { template: of.template, background: of.background, fusion: 'sentence', signal }
  assert.equal(calls, [[of.classes, encoding]])
  const how = { boxThreshold: 0.4, backgroundPower: 1, ignoreBelow: 0, refine: true, crf: false }
  assert.equal(options, { ...how, include: ['cams'], signal })
  assert.equal([colours, hash], [['#ff0000', undefined], settingsHash(of)])
  const auto = settings(file, '--folder', 'x', '--labels', 'auto', '--maps', 'clip')
  const job = await jobOf(engine, auto, ['mask'], signal)
  assert.equal(job.options, { ...how, maps: { preset: 'clip' }, include: [], labels: 'auto', signal })
  assert.equal(calls[1]?.[0], [
    { labelThreshold: 0.3, name: 'cat', colour: '#ff0000' },
    { labelThreshold: 0.15, name: 'dog' },
  ])
})

// ---------------------------------------------------------------- what is left to do
const recipe = (hash = 's') => ({
  ...{
    manifest: {
      format: 1,
      version: '1',
      model: 'm',
      source: {},
      settings: { ...settings(file, ...known), model: hash },
    } as Manifest,
  },
  ...{ outputs: ['mask'] as const, settings: hash },
})

test('photos without results of these settings are left, and those of another photo are failures', async () => {
  const out = join(folder, 'out')
  mkdirSync(out)
  const photos = ['p', 'q', 'r', 's', 't'].map((id) => ({ id, photo: write(`left/${id}.jpg`), labels: [0] }))
  const found = () => ({ items: new PhotoList(photos), failures: [{ id: 'x', message: 'gone' }], notes: ['note'] })
  const store = new ResultStore(out, '1-of-1')
  const journal = new Journal(out, '1-of-1')
  const exchange = folderExchange({ store, journal }, ['mask'])
  const done = (id: string, more: object = {}) => {
    const item = photos.find((one) => one.id === id) as (typeof photos)[0]
    const state = exchange.prepare(item)
    exchange.save(new Map([['mask' as const, Buffer.from(id)]]), { ...item, ...state, settings: 's', ...more })
  }
  done('p')
  done('q', { settings: 'other' })
  done('r', { photo: write('elsewhere/r.jpg') })
  done('s', { photo: join(folder, 'moved/s.jpg') })
  exchange.fail({ ...(photos[4] as (typeof photos)[0]), bytes: 0, modified: 0, settings: 's', failed: 'no' })
  assert.is(readFileSync(join(out, 'masks/p.png'), 'utf8'), 'p')
  const work = async (options: object = {}, hash?: string) => {
    const { mine, left, already, failures, notes } = await findWork(recipe(hash), found(), store, {
      out,
      overwrite: false,
      ...options,
    })
    return {
      left: [...mine.only(left)].map(({ id }) => id),
      already,
      failures: failures.map(({ id }) => id),
      notes,
      failed: failures,
    }
  }
  const first = await work()
  assert.equal([first.left, first.already, first.failures, first.notes], [['q', 't'], 2, ['x', 'r'], ['note']])
  assert.is(
    first.failed[1]?.message,
    `its results would overwrite those of ${join(folder, 'elsewhere/r.jpg')}; choose another folder with --out, or replace them with --overwrite`,
  )
  const second = await work({ shard: { part: 2, of: 2 } })
  assert.equal([second.left, second.already, second.failures, second.notes], [['q'], 1, [], []])
  symlinkSync(join(folder, 'left/r.jpg'), join(folder, 'link.jpg'))
  done('r', { photo: join(folder, 'link.jpg') })
  assert.equal((await work()).failures, ['x'], 'a link to the same photo')
  const all = await work({ overwrite: true })
  assert.equal([all.left, all.already, all.failures], [['p', 'q', 'r', 's', 't'], 0, ['x']])
  assert.ok(store.has('p', ['mask']), 'the same settings: results stay until they are replaced')
  await refused(
    () => work({}, 'other'),
    `${out} holds results of other settings: model was "s" and is "other". Choose another folder with --out, or replace them with --overwrite`,
  )
  await work({ overwrite: true }, 'other')
  assert.equal([store.has('p', ['mask']), store.has('q', ['mask'])], [false, false])
  store.close()
  journal.close()
})

test.run()
