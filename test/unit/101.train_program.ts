// `clip-es train` and its program: what the program says, how that is shown, and how it ends. The programs are shell scripts.
import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { drawTrainCharts, thinned } from '../../cli/src/train/charts.js'
import { endReason, runTraining, type TrainEvent } from '../../cli/src/train/events.js'
import { runPage } from '../../cli/src/train/page.js'
import { presets } from '../../cli/src/train/presets.js'
import { TrainProgress } from '../../cli/src/train/progress.js'
import { meanOf } from '../../cli/src/train/report.js'
import type { TrainJob, TrainManifest } from '../../cli/src/train/run_files.js'
import { temporaryFolder } from './support.js'

const folder = temporaryFolder()
let count = 0
function script(text: string): string {
  const file = join(folder, `program${count++}`)
  writeFileSync(file, `#!/bin/sh\n${text}\n`)
  chmodSync(file, 0o755)
  return file
}

/** What running a program gives: its events, and the error that it ends with. */
async function run(text: string, signal = new AbortController().signal, onEvent?: (event: TrainEvent) => void) {
  const events: TrainEvent[] = []
  const error = await runTraining(script(text), 'the job', signal, (event) => {
    events.push(event)
    onEvent?.(event)
  }).then(
    () => undefined,
    ({ code, message }) => [code, message],
  )
  return { events, error }
}

test('events come in their order, unfinished lines are left out, and the program gets the job', async () => {
  const { events, error } = await run(
    `echo '{"event":"start","iteration":1}'; echo '{"event":'; echo "{\\"event\\":\\"$1 $2\\"}"; exit 0`,
  )
  assert.equal([events, error], [[{ event: 'start', iteration: 1 }, { event: 'train the job' }], undefined])
})

test('the error of a program is told with its code, also before its status', async () => {
  const told = `echo '{"event":"error","code":"ENOSPC","message":"no space"}'; echo '{"event":"end"}'`
  for (const status of [0, 1]) {
    const { events, error } = await run(`${told}; exit ${status}`)
    assert.equal([events, error], [[{ event: 'end' }], ['ENOSPC', 'no space']])
  }
})

test('a program that ends otherwise is told with the end of what it said', async () => {
  const said = (text: string) => ['ERR_INTERNAL', `the training program ended with ${text}`]
  assert.equal((await run('exit 3')).error, said('status 3'))
  assert.equal((await run('for i in 1 2 3 4 5 6; do echo "e$i" >&2; done; exit 1')).error, said('status 1: e2\ne3\ne4\ne5\ne6'))
  assert.equal((await run('kill -TERM $$')).error, said('SIGTERM'))
  const killed = ['ERR_OUT_OF_MEMORY', 'the training program was killed (SIGKILL), as the system does when memory is short']
  assert.equal((await run('kill -KILL $$')).error, killed)
  const reason = endReason(1, null, ` \n${'x'.repeat(3)}\n`)
  assert.is(reason.message, 'the training program ended with status 1: xxx')
  const missing = await runTraining(join(folder, 'none'), 'job', new AbortController().signal, () => undefined).catch(
    ({ code }) => code,
  )
  assert.is(missing, 'ENOENT')
  const long = (
    await run(
      `i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo "0123456789" >&2; done; printf '%s' ${'y'.repeat(12000)} >&2; exit 1`,
    )
  ).error
  assert.is(long?.[1].length, 'the training program ended with status 1: '.length + 10000)
})

test('a stop interrupts the program and ends with the reason, unless it was done already', async () => {
  const stop = new AbortController()
  const waits = `trap 'echo "{\\"event\\":\\"saved\\"}"; exit 130' INT; echo '{"event":"start"}'; while :; do sleep 0.05; done`
  const stopped = await run(waits, stop.signal, () => stop.abort(new Error('stopped')))
  assert.equal(
    [stopped.events.map(({ event }) => event as string), stopped.error],
    [
      ['start', 'saved'],
      [undefined, 'stopped'],
    ],
  )
  assert.equal((await run('touch never', stop.signal)).error, [undefined, 'stopped'])
  assert.not(existsSync('never'))
  const late = new AbortController()
  const done = await run(waits.replace('exit 130', 'exit 0'), late.signal, () => late.abort(new Error('late')))
  assert.is(done.error, undefined)
})

test('when this side fails the program is interrupted', async () => {
  const mark = join(folder, 'interrupted')
  const text = `trap 'echo > ${mark}; exit 130' INT; echo '{"event":"start"}'; while :; do sleep 0.05; done`
  const { error } = await run(text, undefined, () => {
    throw new Error('the report cannot be written')
  })
  assert.equal(error, [undefined, 'the report cannot be written'])
  for (let tries = 0; !existsSync(mark) && tries < 1000; tries++) await new Promise((wake) => setTimeout(wake, 10))
  assert.ok(existsSync(mark))
})

/** The lines on standard output while a function runs. */
function printed(work: () => void): string[] {
  const { log } = console
  const lines: string[] = []
  console.log = (line: string) => lines.push(line)
  try {
    work()
  } finally {
    console.log = log
  }
  return lines
}

const start = (iteration: number, resumed: boolean) =>
  ({ event: 'start', iteration, parameters: 1234567, device: 'cpu', threads: 2, resumed }) as const
const iterationEvent = (iteration: number, loss: number, seconds: number) =>
  ({ event: 'iteration', iteration, loss, learningRate: 0.1, seconds, waited: 0 }) as const
const validationEvent: TrainEvent = { event: 'validation', iteration: 150, miou: 0.1234, iou: [], pictures: [] }
const end = { event: 'end', iteration: 250, best: null } as const

test('a pipe gets a line at each hundredth of the run, at its start and at each validation', () => {
  const exits = process.listenerCount('exit')
  const lines = printed(() => {
    const progress = new TrainProgress(250, false)
    assert.is(progress.iteration, 0)
    progress.report(start(2, true))
    assert.is(progress.iteration, 2)
    progress.report(iterationEvent(3, 4, 2))
    progress.report(iterationEvent(4, 2, 2))
    progress.report(iterationEvent(6, 3, 2))
    progress.report(validationEvent)
    for (let i = 7; i <= 26; i++) progress.report(iterationEvent(i, 1, 0.5))
    progress.report(iterationEvent(27, 1, 0.5))
    assert.is(progress.iteration, 27)
    progress.report({ event: 'checkpoint', iteration: 27, path: 'x' })
    progress.report(end)
  })
  assert.equal(lines.slice(0, 4), [
    'continues at iteration 2: 1,234,567 parameters on cpu, 2 threads',
    '3/250: loss 4.000, 30.0/min, 8 min 14 s left',
    '6/250: loss 3.000, 30.0/min, 8 min 08 s left',
    'iteration 150: validation mIoU 12.3 %',
  ])
  assert.equal(lines.slice(-2), ['24/250: loss 1.150, 1.5/s, 2 min 27 s left', '27/250: loss 1.000, 2.0/s, 1 min 52 s left'])
  assert.is(lines.length, 4 + 7)
  assert.is(process.listenerCount('exit'), exits)
  const begins = printed(() => new TrainProgress(10, false).report({ ...start(0, false), threads: 1 }))
  assert.equal(begins, ['begins: 1,234,567 parameters on cpu, 1 threads'])
  const fresh = printed(() => new TrainProgress(1, false).report(iterationEvent(1, 0.5, 0)))
  assert.equal(fresh, ['1/1: loss 0.500, –, 0 s left'])
})

test('--json prints every event and no line for people', () => {
  const events = [start(0, false), iterationEvent(1, 1, 1), validationEvent, end]
  const lines = printed(() => {
    const progress = new TrainProgress(1, true)
    for (const event of events) progress.report(event)
  })
  assert.equal(
    lines.map((line) => JSON.parse(line)),
    events,
  )
})

test('means, and curves of at most 400 points', () => {
  assert.is(meanOf([]), undefined)
  assert.is(meanOf([1, 2, 6]), 3)
  const line = (length: number) => Array.from({ length }, (_, i) => ({ x: i, y: 2 * i }))
  assert.equal(thinned(line(400)), line(400))
  const two = thinned(line(401))
  assert.equal([two.length, two[0], two.at(-1)], [201, { x: 0.5, y: 1 }, { x: 400, y: 800 }])
})

test('the curves have their axes, and the best validation is named within the frame', async () => {
  assert.equal(await drawTrainCharts([], []), {})
  const points = (...values: number[]) => values.map((y, i) => ({ x: 10 * i, y }))
  const { loss = '', miou = '' } = await drawTrainCharts(points(3, 1, 2), points(10, 30.26, 20, 5, 30.26))
  for (const [chart, label] of [
    [loss, 'Loss'],
    [miou, 'Validation mIoU (%)'],
  ] as const) {
    assert.match(chart, `↑ ${label}<`)
    assert.match(chart, 'Iteration →<')
    assert.match(chart, 'stroke="var(--accent)"')
  }
  assert.match(loss, 'stroke-width="1.5"')
  assert.match(miou, 'stroke-width="2"')
  assert.match(miou, '>30.3 at 10<')
  assert.match(miou, /<circle [^>]*r="5"/)
  const anchor = (chart: string) =>
    /text-anchor="end"[^>]*font-weight="600"|font-weight="600"[^>]*text-anchor="end"/.test(chart) ? 'end' : 'start'
  assert.is(anchor(miou), 'start')
  assert.is(anchor((await drawTrainCharts([], points(1, 2, 3, 9))).miou as string), 'end')
  assert.is((loss.match(/<svg/g) ?? []).length, 1)
  const ticks = [...loss.matchAll(/>(\d[\d.]*)<\/text>/g)].map(([, text]) => Number(text))
  assert.ok(ticks.includes(0) && ticks.includes(3), 'the losses begin at 0')
})

const job = {
  ...{ version: 1, run: '/runs/a<b', classes: ['background', 'cat', 'tv & radio', 'dog'], pictures: 8 },
  samples: Array.from({ length: 1234 }),
  validation: [{}, {}],
  network: { name: 'deeplabv2-resnet50', msc: [0.5, 0.75], weights: '/w.pth' },
  training: presets.voc.training,
  ...{ every: {}, device: 'cpu', threads: 3, loaders: 1, seed: 7 },
} as unknown as TrainJob
const manifest = { version: '1.2.3', source: { results: '/masks', validation: '/truth' } } as unknown as TrainManifest

/** The texts of a page, without its head and its style. */
const textsOf = (html: string): string[] =>
  html
    .slice(html.indexOf('<body'))
    .replace(/<svg[\s\S]*?<\/svg>/g, '')
    .split(/<[^>]*>/)
    .map((text) => text.trim())
    .filter((text) => text !== '')

test('the page of a run says its figures, its labels by their IoU, and its settings', () => {
  const validations = [
    { iteration: 100, miou: 0.75, iou: [0.9, 0.8, 0.55, null] },
    { iteration: 12345, miou: 0.5, iou: [0.4, 0.25, 0.75] },
  ]
  const drawn = { labels: [{ name: 'cat', colour: '#800000' }], photo: 'data:p', truth: 'data:t', found: 'data:f' }
  const report = {
    ...{ run: job.run, manifest, job, iteration: 12345, loss: 0.12345, validations },
    ...{ charts: {}, examples: [{ ...drawn, id: 'x&y' }] },
  }
  const html = runPage(report as unknown as Parameters<typeof runPage>[0])
  const texts = textsOf(html)
  const from = (text: string, length: number) => texts.slice(texts.indexOf(text), texts.indexOf(text) + length)
  assert.equal(from('clip-es train', 12), [
    ...['clip-es train', 'a&#60;b'],
    'The network deeplabv2-resnet50 learns from the masks of 1,234 pictures. This page is written again at each validation.',
    ...['Iteration', '12,345', 'of 20,000', 'Loss', '0.123', 'mean of the last iterations'],
    ...['Best validation mIoU', '75.0 %', 'at iteration 100, 2 pictures'],
  ])
  assert.equal(from('Validation pictures at iteration 12,345', 3), ['Validation pictures at iteration 12,345', 'x&#38;y', 'cat'])
  for (const alt of ['Validation mask: cat', 'Mask of the network: cat']) assert.match(html, `alt="${alt}"`)
  assert.equal(from('Labels at iteration 12,345', 12), [
    ...['Labels at iteration 12,345', 'IoU in percent on the validation pictures. The best label comes first.', 'Label', 'IoU'],
    ...['tv &#38; radio', '75.0', 'background', '40.0', 'cat', '25.0', 'mean', '50.0'],
  ])
  assert.equal(
    [...html.matchAll(/class="fill" style="width:([\d.]+%)"/g)].map(([, width]) => width),
    ['75.0%', '40.0%', '25.0%'],
  )
  assert.equal(
    [...html.matchAll(/class="swatch" style="--colour:(#\w+)"/g)].map(([, colour]) => colour),
    [...['#800000', '#008000', '#000000', '#800000']],
  )
  const settings = (changes: object = {}, more: object = {}) => {
    const changed = { ...job, ...more, training: { ...job.training, ...changes } } as TrainJob
    const all = textsOf(runPage({ ...report, job: changed } as unknown as Parameters<typeof runPage>[0]))
    const start = all.indexOf('Folder')
    return Object.fromEntries(Array.from({ length: 12 }, (_, i) => [all[start + 2 * i], all[start + 2 * i + 1]]))
  }
  assert.equal(settings(), {
    ...{ Folder: '/runs/a&#60;b', results: '/masks', validation: '/truth' },
    ...{ Network: 'deeplabv2-resnet50, also at the scales 0.5, 0.75', 'Begins from': '/w.pth' },
    ...{ Confidence: 'pixels below 0.95 are left out', Batch: '5 x 2, crops of 321, scales 0.5 to 1.5, flips' },
    'Learning rate': '0.0002, head x 10, its bias x 20, power 0.9',
    ...{ 'Momentum, weight decay': '0.9, 0.0005', Loss: 'cross-entropy', Gradients: 'not limited', Seed: '7, 3 threads, cpu' },
  })
  const other = settings(
    { confidence: { mode: 'soft', threshold: 0.7 }, flip: false, balanced: true, clip: 5 },
    { network: { name: 'small', msc: [], weights: null } },
  )
  assert.equal(
    ['Network', 'Begins from', 'Confidence', 'Batch', 'Loss', 'Gradients'].map((name) => other[name]),
    [
      ...[
        'small',
        'random weights',
        'pixels weigh as much as they are sure (threshold 0.7)',
        '5 x 2, crops of 321, scales 0.5 to 1.5',
      ],
      ...['balanced cross-entropy', 'limited to 5'],
    ],
  )
  assert.is(settings({ confidence: { mode: 'off', threshold: 0 } }).Confidence, 'all pixels are used')
  const bare = { ...report, validations: [], examples: [], loss: undefined } as unknown as Parameters<typeof runPage>[0]
  const without = textsOf(runPage(bare))
  assert.equal(without.slice(without.indexOf('Loss'), without.indexOf('Loss') + 2), ['Loss', '–'])
  for (const part of ['Best validation mIoU', 'Label']) assert.not(without.includes(part))
  assert.not(without.some((text) => text.startsWith('Validation pictures')))
})

test.run()
