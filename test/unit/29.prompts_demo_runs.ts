// Whole runs of prompts and the demo with an engine that has no model: what is printed and written.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { demo } from '../../cli/src/demo/run.js'
import { demoClasses, demoScenes } from '../../cli/src/demo/scenes.js'
import type { ClassSet } from '../../ts/classes/class_set.js'
import { Segmenter, type SegmentOptions } from '../../ts/index.js'
import { embeddedModel } from '../../ts/support/index.js'
import { engineFlags, fakeEngine, folder, labelled, makePhotos, photos, read, run, set } from './engine_support.js'
import { having } from './machine_support.js'
import { reasonOf } from './support.js'

test.before(makePhotos)

test('prompts: the ranking as an object and as a table, from embeddings that are kept', async () => {
  const flags = ['--cache', 'kept.jsonl', ...engineFlags]
  const first = await run(['prompts', ...labelled, '--rank', 'backgrounds', '--background', 'sea', ...flags, '--json'])
  assert.equal([first.status, first.asked.closed, first.concurrency, first.lines.length], [1, 1, [1], 1])
  assert.equal(first.errors, [
    'clip-es: x.png: there is no such photo in the folder; did you mean a.png?',
    `2 photos with two labels or more: 0 encoded before, 2 to do; kept in ${folder}/kept.jsonl`,
  ])
  const { rankings, ...told } = JSON.parse(first.lines[0] as string)
  assert.equal(told, {
    ...{ rank: 'backgrounds', by: 'sharpness', softmax: 'classes and background words', photos: 2, encoded: 2, reused: 0 },
    failed: [{ id: 'x.png', message: 'there is no such photo in the folder; did you mean a.png?' }],
    cache: join(folder, 'kept.jsonl'),
  })
  assert.is(rankings[0].candidates.length, 4)
  const entropy = await run(['prompts', ...set, '--by', 'entropy', '--templates', 'imagenet', ...flags, '--plot', 'plot.svg'])
  assert.match(entropy.errors[0] as string, /^4 photos: 2 encoded before, 2 to do; kept in /)
  assert.match(entropy.errors[1] as string, /^clip-es: d: /)
  assert.equal([entropy.status, entropy.lines.length], [1, 2])
  assert.is(entropy.lines[0], 'templates by entropy over 3 photos: of the scores of all words, lower is more decided')
  assert.equal(entropy.lines[1]?.split('\n').slice(0, 2), [
    'softmax over classes',
    '   #     entropy                        mean score',
  ])
  assert.match(readFileSync(join(folder, 'plot.svg'), 'utf8'), '>entropy over 3 photos, softmax over classes (lower is better)<')
  for (const photo of ['a.png', 'c.png']) writeFileSync(join(photos, photo), 'damaged')
  const none = await run(['prompts', ...labelled, ...flags])
  assert.equal([none.failed?.message, none.asked.closed], ['prompts: no photo could be read: listed above', 1])
  for (const name of ['a.png', 'c.png'])
    await sharp({ create: { width: name === 'a.png' ? 4 : 6, height: 2, channels: 3, background: 'red' } }).toFile(
      join(photos, name),
    )
})

test('prompts --thresholds: the figures, the warnings, and the class file that is written', async () => {
  const args = ['prompts', ...labelled, '--thresholds', ...engineFlags]
  const { lines, errors, status, asked, concurrency } = await run([...args, '--out', 'own.json', '--json'])
  assert.equal([status, asked.closed, concurrency, lines.length], [1, 1, [1], 1])
  const told = JSON.parse(lines[0] as string)
  assert.equal(Object.keys(told), ['photos', 'failed', 'default', 'classes', 'atDefault', 'leftOut'])
  assert.equal([told.photos, told.default, told.failed.map(({ id }: { id: string }) => id)], [3, 0.15, ['x.png', 'd']])
  const [cat, dog] = told.classes
  assert.equal([cat.name, cat.photos, dog.name, dog.photos], ['cat', 2, 'dog', 3])
  assert.equal(dog.atDefault, { precision: 1, recall: 1, f1: 1 })
  assert.equal(told.atDefault, { precision: 1, recall: 3 / 5, f1: 3 / 4 })
  assert.is(errors.at(-1), 'clip-es: wrote the class file own.json')
  assert.is(
    errors.at(-2),
    'clip-es: on photos that did not choose them, these thresholds are not better than the default; add photos',
  )
  const { classes, ...words } = read('own.json')
  assert.equal(words.fusion, 'sentence')
  assert.equal(
    classes.map(({ name, labelThreshold }: { name: string; labelThreshold: number }) => [name, labelThreshold]),
    [['cat', cat.threshold], ['dog', dog.threshold]], // biome-ignore format: a table
  )
  writeFileSync(join(folder, 'dogs.csv'), 'b.png,dog\n')
  const table = await run(['prompts', ...set, '--labels', 'dogs.csv', '--thresholds', ...engineFlags])
  assert.equal([table.status, table.lines.length, table.lines[0]], [undefined, 3, 'label thresholds on 1 photo'])
  assert.is(table.lines[2], 'own: each photo is judged by the threshold that the other photos choose (leave-one-out)')
  assert.is(table.errors[0], '3 photos without labels left out')
  assert.is(table.errors[1], 'clip-es: no photo has cat: the default threshold of 0.15 stays; add photos of them')
})

test('the demo: a line for each object, the files of each scene, and false if an IoU differs from the reference', async () => {
  const names = demoClasses().classes.map(({ name }) => name)
  const scenes = await demoScenes(names)
  const { asked, engine } = fakeEngine()
  let at = 0
  const disposed: number[] = []
  const encode = async () => {
    const { truth, labels } = scenes[at++] as (typeof scenes)[0]
    const segment = async (_: ClassSet, options: SegmentOptions) => {
      asked.segment.push(options)
      return { mask: options.crf ? truth : new Uint8Array(truth.length), scores: Float32Array.from(labels, () => 0.5) }
    }
    return { segment, dispose: () => disposed.push(at) }
  }
  const load = async (...given: unknown[]) => {
    asked.load.push(...given)
    return { ...engine, encode }
  }
  const [lines, errors]: [string[], string[]] = [[], []]
  const spies = { log: (line: string) => lines.push(line), error: (line: string) => errors.push(line) }
  const out = join(folder, 'demo')
  const start = performance.now()
  const good = await having(Segmenter, { load }, () => having(console, spies, () => demo(out)))
  const objects = scenes.flatMap(({ name, labels, reference }) =>
    labels.map((label, i) => ({ name, label, reference: reference[i] as number })),
  )
  assert.equal([good, asked.closed, disposed.length, asked.load], [false, 1, 12, [embeddedModel(), { precision: 'float32' }]])
  assert.equal(
    asked.segment.slice(0, 2),
    [false, true].map((crf) => ({ labels: scenes[0]?.labels, boxThreshold: demoClasses().boxThreshold, ...(crf && { crf }) })),
  )
  assert.is(lines[0], 'scene     object                IoU  reference   with CRF')
  const [first] = objects as [(typeof objects)[0]]
  const row = `${first.name.padEnd(9)} ${first.label.padEnd(14)}      0.000      ${first.reference.toFixed(3)}      1.000`
  assert.is(lines[1], `${row}  differs from the reference  failure`)
  const mean = objects.reduce((sum, { reference }) => sum + reference, 0) / objects.length
  assert.equal(lines.slice(-3), [
    `mean      ${`${objects.length} objects`.padEnd(14)}      0.000      ${mean.toFixed(3)}      1.000`,
    `\nObjects with an IoU below 0.5: ${objects.length} without the CRF, 0 with it. The page says why.`,
    `Open this page in a browser: ${join(out, 'index.html')}`,
  ])
  const off = objects.filter(({ reference }) => reference > 0.01).length
  assert.equal(errors, [
    `clip-es: the IoU of ${off} of ${objects.length} objects differs from the reference implementation by more than 0.01; npx clip-es doctor shows which libraries and CPU features are used`,
  ])
  const elapsed = performance.now() - start
  const times = /<dt>Per scene<\/dt><dd>([\d.]+) ms<\/dd><dd class="note">and ([\d.]+) ms more/.exec(
    readFileSync(join(out, 'index.html'), 'utf8'),
  )
  const [, time, crfTime] = (times ?? []).map(Number) as [number, number, number]
  assert.ok(12 * (time + crfTime) <= elapsed + 12, 'the times of the scenes are parts of the whole')
  const files = scenes.flatMap(({ name }) => [`${name}.png`, `${name}_mask.png`, `${name}_mask_crf.png`])
  assert.equal(readdirSync(out).sort(), ['index.html', ...files].sort())
})

test('an engine that fails while the demo runs is closed', async () => {
  const { asked, engine } = fakeEngine('no texts')
  const work = () => having(console, { log() {} }, () => demo(join(folder, 'demo')))
  const reason = await reasonOf(having(Segmenter, { load: async () => engine }, work))
  assert.equal([(reason as Error).message, asked.closed], ['no texts', 1])
})

test.run()
