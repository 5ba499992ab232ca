// The pages, charts and tables that the commands write, as a whole: a change of them must be intended, as it shows in pages.snapshot.txt.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { demoPage } from '../../cli/src/demo/page.js'
import type { DemoResult } from '../../cli/src/demo/result.js'
import { type Evaluation, Evaluator } from '../../cli/src/eval/evaluation.js'
import { evalTable, searchTable, takenTable } from '../../cli/src/eval/table.js'
import type { CamRule } from '../../cli/src/metrics/cam_rule.js'
import { drawRanking } from '../../cli/src/prompts/chart.js'
import { rankingTable, tableHead } from '../../cli/src/prompts/table.js'
import { thresholdTable } from '../../cli/src/prompts/thresholds_table.js'
import { drawCharts } from '../../cli/src/report/charts.js'
import { reportPage } from '../../cli/src/report/page.js'
import type { Manifest } from '../../cli/src/results/manifest.js'
import { drawTrainCharts } from '../../cli/src/train/charts.js'
import type { ModelInfo } from '../../ts/index.js'
import { root } from './support.js'

const update = 'UPDATE_PAGES=1 node --import tsx test/unit/39.pages.ts'
const snapshot = join(root, 'test/unit/pages.snapshot.txt')
const sections = new Map<string, string>()
const before = new Map(
  readFileSync(snapshot, 'utf8')
    .split(/^==== /m)
    .slice(1)
    .map((part) => [part.slice(0, part.indexOf('\n')), part.slice(part.indexOf('\n') + 1)]),
)

/** Compares a text with its section of the snapshot: without styles, a tag a line, long numbers to three digits after the point. */
function same(name: string, text: string): void {
  const readable = text
    .replace(/<style>[\s\S]*?<\/style>/g, '')
    .replaceAll('><', '>\n<')
    .replace(/(?<=[ ",(MLH-])\d+\.\d{6,}/g, (number) => Number(number).toFixed(3))
  sections.set(name, `${readable}\n`)
  if (!process.env.UPDATE_PAGES)
    assert.fixture(`${readable}\n`, before.get(name) ?? '', `${name} has changed. If intended: ${update}`)
}

/** An element of a page, by how its tag begins. */
function partOf(text: string, tag: string): string {
  const start = text.indexOf(`<${tag}>`)
  return text.slice(start, text.indexOf(`</${tag.split(' ')[0]}>`, start))
}

test.after(() => {
  if (process.env.UPDATE_PAGES) writeFileSync(snapshot, [...sections].map(([name, text]) => `==== ${name}\n${text}`).join(''))
})

// ---------------------------------------------------------------- an evaluation
const names = ['background', 'cat', 'a dog <&>', 'never there']
const rule: CamRule = { power: 2 }
const rules = [{ threshold: 0.25 }, { threshold: 0.5 }, { threshold: 0.75 }, { power: 0 }, { power: 1 }, { power: 4 }]
const search = rules.map((one, i) => ({
  rule: one,
  miou: [0.5, 0.625, 0.4, 0.1, 0.3, 0.35][i] as number,
  pixelAccuracy: 0.5 + i / 32,
}))

function evaluation(more: Partial<Evaluation> = {}): Evaluation {
  const evaluator = new Evaluator(names, 0.02)
  const map = (text: string) => Uint8Array.from(text, (digit) => (digit === 'x' ? 255 : Number(digit)))
  evaluator.add('b', map('0011100222000'), map('0111100022000'), 13, 1)
  evaluator.add('a<b>', map('0x11022222'), map('011112200x'), 10, 1)
  evaluator.add('c', map('1111'), map('1122'), 2, 2)
  return {
    ...{ format: 1, version: '1.2.3', results: '/out/masks', truth: '/voc', list: 'the split val of /voc', what: 'masks' },
    ...{ failures: [], ...evaluator.figures() },
    ...more,
  }
}

test('the tables of eval and prompts', () => {
  same('eval', evalTable(evaluation()))
  const long = evaluation()
  const labels = long.labels.map((label, i) => ({ ...label, name: i === 1 ? 'a class with a long name' : label.name }))
  same('eval of CAMs', evalTable({ ...long, labels, rule, ignored: 0, truthIgnored: 0, images: 1 }))
  same('taken', takenTable(evaluation()))
  same('search', searchTable(search))
  const figures = (name: string, mean: number) => ({ name, mean, sum: 4 * mean, photos: 2, probability: 0.125 })
  same(
    'ranking',
    `${tableHead('sharpness')}\n${rankingTable([{ candidates: [figures('a {}.', 0.0009996), figures('the {}.', 0.25)] }])}`,
  )
  same(
    'ranking of zeros',
    rankingTable([{ class: 'cat', candidates: [{ ...figures('kitty', 0), photos: 1, probability: 0.001 }] }]),
  )
  const counts = (hits: number, found: number, there: number) => ({ hits, found, there })
  const calibrations = [
    { threshold: 0.2, atDefault: counts(2, 4, 3), leftOut: counts(2, 2, 3) },
    { threshold: undefined, atDefault: counts(0, 1, 0), leftOut: counts(0, 0, 0) },
    { threshold: undefined, atDefault: counts(0, 0, 0), leftOut: counts(0, 1, 0) },
    { threshold: undefined, atDefault: counts(0, 0, 0), leftOut: counts(0, 0, 0) },
  ]
  same('thresholds', thresholdTable(['cat', 'a class with a long name', 'dog', 'fish'], calibrations))
})

// ---------------------------------------------------------------- the report
const settings = {
  ...{ set: 'folder', model: '01', precision: 'float32', maxSide: '1024', classes: [], template: ['a {}.', 'the {}.'] },
  ...{ fusion: 'sentence', background: ['sky', 'sea'], boxThreshold: 0.4, backgroundPower: 2, ignoreBelow: 0.1 },
  ...{ refine: true, crf: false },
}
const manifest = (of: object) => ({ format: 1, version: '1', model: '/m.pt', source: {}, settings: of }) as unknown as Manifest

test('the charts of a report', async () => {
  const { pictures, confusion, thresholds, powers } = await drawCharts(evaluation(), search)
  for (const [name, svg] of Object.entries({ pictures, confusion, thresholds, powers })) same(`chart of ${name}`, svg as string)
  const low = evaluation({ perImage: [0.1, 0.7, 0.9].map((miou, i) => ({ id: `${i}`, miou, pixelAccuracy: 0 })) })
  same('chart of good pictures', (await drawCharts(low, [])).pictures)
  const ends = [0.9, 0.1].map((threshold) => ({ rule: { threshold }, miou: threshold, pixelAccuracy: 0 }))
  const text = async (scores: typeof ends) =>
    /<text[^>]*>[^<]* at [^<]*/.exec((await drawCharts(low, scores)).thresholds as string)?.[0]
  const many = (best: number) =>
    Array.from({ length: 10 }, (_, i) => ({ rule: { threshold: i / 10 }, miou: i === best ? 0.5 : 0.25, pixelAccuracy: 0 }))
  const texts = await Promise.all([text(ends), ...[0, 1, 2, 8, 9].map((best) => text(many(best)))])
  same('best rules near the ends', texts.join('\n'))
  const figures = (name: string, mean: number) => ({ name, mean, sum: mean, photos: 1, probability: 0.5 })
  const rankings = [
    { candidates: [figures('a {}', 0.5), figures('the {}', 0.75)] },
    { class: 'cat', candidates: [figures('kitty', 0.25)] },
  ]
  same('chart of a ranking', await drawRanking(rankings, 'sharpness'))
})

test('the charts of a training', async () => {
  const points = (values: readonly number[]) => values.map((y, i) => ({ x: 10 * i, y }))
  const { loss, miou } = await drawTrainCharts(points([2.5, 1.75, 1.25]), points([25, 50]))
  same('chart of losses', loss as string)
  same('chart of validations', miou as string)
})

test('the page of a report', () => {
  const example = {
    ...{ id: 'a/"x"', miou: 0.25, pixelAccuracy: 0.5, photo: 'data:photo', truth: 'data:truth', found: 'data:found' },
    labels: [
      { name: 'cat', colour: '#ff0000' },
      { name: 'dog & co', colour: '#00ff00' },
    ],
  }
  const charts = { pictures: '<svg id="pictures"/>', confusion: '<svg id="confusion"/>' }
  const failures = [{ id: 'x<y', message: 'it is "damaged"' }]
  const page = (more: object = {}) =>
    reportPage({ title: 'A & B', evaluation: evaluation(), manifest: undefined, charts, best: [], worst: [], ...more })
  same('report', partOf(page(), 'header'))
  assert.equal(
    [...page().matchAll(/<section id="(\w+)"/g)].map(([, id]) => id),
    ['labels', 'curves', 'confusion', 'settings'],
  )
  const network = { network: 'small', scales: [0.5, 1], flip: true, knownLabels: true, ignoreBelow: 0, crf: {}, classes: [] }
  same(
    'report with everything',
    page({
      evaluation: evaluation({ what: 'cams', rule, warnings: ['odd <truth>'], failures, images: 1 }),
      charts: { ...charts, thresholds: '<svg id="thresholds"/>', powers: '<svg id="powers"/>' },
      ...{ manifest: manifest(settings), best: [example], worst: [{ ...example, photo: undefined, labels: [] }] },
    }),
  )
  const settingsOf = (of: object) => partOf(page({ manifest: manifest(of) }), 'section id="settings"')
  const maps = {
    maps: { preset: 'clip' },
    scales: [1, 2],
    flip: true,
    minScore: 0.5,
    backgroundBelow: 0.6,
    background: [],
    refine: false,
    crf: true,
  }
  same('settings of other maps', settingsOf({ ...settings, ...maps }))
  same('settings of a network', settingsOf(network))
  same('settings of another network', settingsOf({ ...network, flip: false, knownLabels: false }))
  const many = Array.from({ length: 101 }, (_, i) => ({ id: `p${i}`, message: 'no' }))
  const listed = (count: number) => page({ evaluation: evaluation({ failures: many.slice(0, count) }) })
  assert.equal([listed(101).match(/<li>/g)?.length, listed(100).match(/<li>/g)?.length], [100, 100])
  assert.match(listed(101), '</ul><p>and 1 more</p></section>')
  assert.not.match(listed(100), ' more</p>')
})

// ---------------------------------------------------------------- the demo
test('the page of the demo', () => {
  const object = (name: string, iou: number, crfIou: number, more: object = {}) => ({
    ...{ name, value: 1, colour: [1, 2, 255] as const, probability: 0.123, iou, reference: 0.75, crfIou },
    ...more,
  })
  const failure = { reason: 'Why & so.', remedy: 'What <to> do.' }
  const scene = (name: string, labels: string[]) => ({ name, labels, image: { width: 4, height: 3 } })
  const results = [
    {
      ...{ scene: scene('one', ['cat', 'dog']), milliseconds: 9.96, crfMilliseconds: 20 },
      objects: [object('cat', 0.755, 0.8), object('dog', 0.4, 0.45, { failure })],
    },
    {
      ...{ scene: scene('two', ['pizza', 'bus', 'car', 'ball']), milliseconds: 7.98, crfMilliseconds: 10 },
      objects: [
        ...[object('pizza', 0.3, 0.6, { failure }), object('bus', 0.745, 0.9), object('car', Number.NaN, 1.5)],
        ...[object('ball', 0.76, 0.77), object('<tree>', 0.5, 0.51)],
      ],
    },
  ] as unknown as DemoResult[]
  const pictures = ['1', '2'].map((i) => ({ photo: `p${i}`, found: `f${i}`, foundWithCrf: `c${i}`, truth: `t${i}` }))
  const model = { patch: 16, device: 'cpu', precision: 'float32' } as ModelInfo
  same('demo', demoPage(results, pictures, model))
  const good = [{ ...results[0], objects: [object('cat', 0.75, 0.8)] }] as unknown as DemoResult[]
  same('demo without failures', partOf(demoPage(good, pictures, model), 'section class="failures" id="failures"'))
})

test.run()
