// npm run bench -- --model ViT-B-16.pt [options]: the product and its peers, in turns, in one run. See docs/performance.md.
import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { physicalCores } from '../ts/engine/cores.js'
import { plotClasses } from './plot.js'
import { printClasses, printEdges, printMemory, seconds, table, times } from './print.js'
import * as measure from './sections.js'
import { Worker } from './worker.js'

const sectionNames = ['classes', 'encoder', 'words', 'text', 'pixels', 'threads', 'calls', 'edges', 'stages'] as const
type Section = (typeof sectionNames)[number]

interface Options {
  model: string
  size: [number, number]
  classes: number[]
  rounds: number
  precision: string[]
  python: string
  released?: string
  native: string
  libtorch?: string
  only: Section[]
  json?: string
  plot?: string
}

const whole = (text: string): number => {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new InvalidArgumentError('expected a whole number from 1 to 99999')
  return Number(text)
}
const list = (text: string): string[] => text.split(',')
const sections = (text: string): string[] => {
  const unknown = list(text).find((name) => !sectionNames.includes(name as Section))
  if (unknown !== undefined)
    throw new InvalidArgumentError(`there is no section ${unknown}; there are ${sectionNames.join(', ')}`)
  return list(text)
}
const size = (text: string): [number, number] => {
  const [, width, height] = /^(\d+)x(\d+)$/.exec(text) ?? []
  return [whole(width ?? ''), whole(height ?? '')]
}

function parse(): Options {
  return new Command('npm run bench --')
    .description('The product beside its peers, in turns on one core; medians. Peers that are missing are named and left out.')
    .requiredOption('--model <file>', 'an archive; tools/golden/make_random_archive.py makes one of ViT-B/16 shape')
    .option('--size <WxH>', 'of the photo', size, [500, 375])
    .option('--classes <list>', 'numbers of classes', (text: string) => list(text).map(whole), [1, 3, 5, 20])
    .option('--rounds <n>', 'of which medians are taken', whole, 5)
    .option('--precision <list>', "of the engine: some of 'float32', 'bfloat16' and 'int8'", list, ['float32'])
    .option('--python <file>', 'an interpreter with torch (and for onnxruntime onnx, onnxruntime)', 'python3')
    .option('--released <folder>', 'a clone of github.com/linyq2117/CLIP-ES; needs opencv-python-headless, lxml and tqdm, too')
    .option('--native <file>', 'clip_es_bench, for the stages and the memory', 'build-native/clip_es_bench')
    .option('--libtorch <folder>', 'for clip_es_bench; default $CLIP_ES_LIBTORCH')
    .option('--only <list>', `some sections: ${sectionNames.join(', ')}`, sections, [...sectionNames])
    .option('--json <file>', 'also all figures')
    .option('--plot <file.svg>', 'also seconds by classes')
    .parse()
    .opts<Options>()
}

/** A peer, or undefined and a line that says what to do. */
async function peer(name: string, remedy: string, start: () => Promise<Worker>): Promise<Worker | undefined> {
  try {
    return await start()
  } catch (error) {
    console.log(`without ${name}: ${(error as Error).message}. ${remedy}`)
    return undefined
  }
}

const python = (o: Options, name: string, script: string, args: readonly string[]): Promise<Worker> =>
  Worker.start(name, o.python, [join(__dirname, 'peers', script), ...args], 1)

const engine = (o: Options, precision: string, threads: number, concurrency = 1): Promise<Worker> =>
  Worker.start(
    `clip-es ${precision}`,
    process.execPath,
    ['--import', 'tsx', join(__dirname, 'engine.ts'), o.model, `${threads}`, precision, `${concurrency}`],
    threads,
  )

async function pipelines(o: Options): Promise<Worker[]> {
  const install = `Name a Python with --python: ${o.python} -m pip install torch numpy pillow`
  const released = o.released
    ? await peer('the released pipeline', `${install} opencv-python-headless lxml tqdm`, () =>
        python(o, 'released', 'released.py', [o.released as string, o.model, '1']),
      )
    : console.log('without the released pipeline: name a clone of github.com/linyq2117/CLIP-ES with --released')
  const closed = await peer('the closed form in PyTorch', install, () =>
    python(o, 'closed form', 'closed_form.py', [o.model, '1']),
  )
  const engines = await Promise.all(o.precision.map((precision) => engine(o, precision, 1)))
  return [released, closed, ...engines].filter((worker) => worker instanceof Worker)
}

function onnx(o: Options): Promise<(Worker | undefined)[]> {
  return Promise.all(
    ['float32', 'int8'].map((precision) =>
      peer(`onnxruntime ${precision}`, `${o.python} -m pip install torch onnx onnxruntime`, () =>
        python(o, `onnxruntime ${precision}`, 'onnx_encoder.py', [o.model, '1', precision]),
      ),
    ),
  )
}

/** The stages, their share of the core's measured peak, memory and allocations, by clip_es_bench. */
function stages(o: Options): string | undefined {
  if (!existsSync(o.native)) {
    console.log(`\nwithout the stages: there is no ${o.native}; CONTRIBUTING.md has the two commands that build it`)
    return undefined
  }
  const args = ['--model', o.model, '--size', o.size.join('x'), '--labels', '3', '--threads', '1', '--repeat', `${o.rounds}`]
  const text = o.precision
    .map((precision) =>
      execFileSync(o.native, [...args, '--precision', precision, ...(o.libtorch ? ['--libtorch', o.libtorch] : [])], {
        encoding: 'utf8',
      }),
    )
    .join('\n')
  console.log(`\n${text.trimEnd()}`)
  return text
}

async function compare(o: Options, plan: measure.Plan, results: Record<string, unknown>): Promise<void> {
  const all = await pipelines(o)
  const own = all.filter(({ name }) => name.startsWith('clip-es'))
  if (o.only.includes('classes')) {
    const rows = await measure.byClasses(all, plan)
    printClasses(rows)
    printMemory((rows.at(-1) as (typeof rows)[number]).measured)
    results.classes = rows
    if (o.plot) await plotClasses(rows, o.plot)
  }
  if (o.only.includes('text')) {
    const measured = await measure.prompts(
      all.filter(({ name }) => name !== 'closed form'),
      plan,
    )
    const first = measured[0] as measure.Measured
    const rows = measured.map(({ runner, cpu }) => [runner, seconds(cpu), times(first.cpu / cpu)])
    table('45 prompts: one by one as released, together in the engine', ['runner', 'seconds', 'times'], rows)
    results.text = measured
  }
  for (const worker of all.filter((w) => !own.includes(w))) worker.stop()
  if (o.only.includes('encoder')) {
    const peers = (await onnx(o)).filter((worker) => worker !== undefined)
    const measured = await measure.inTurns([...own, ...peers], { width: plan.width, height: plan.height, labels: 1 }, plan.rounds)
    const encode = ({ last, wall, cpu }: measure.Measured): number => {
      const milliseconds = (last.timings as { encode?: number } | undefined)?.encode
      return milliseconds === undefined ? (wall ?? cpu) : milliseconds / 1000
    }
    const rows = measured.map((m) => [m.runner, seconds(encode(m))])
    table(
      "The image tower alone, by the clock: the engine's with the attention that the method needs",
      ['runner', 'seconds'],
      rows,
    )
    results.encoder = measured
    for (const worker of peers) worker.stop()
  }
  for (const worker of own) await growth(o, plan, worker, results)
  for (const worker of own) worker.stop()
}

async function growth(o: Options, plan: measure.Plan, worker: Worker, results: Record<string, unknown>): Promise<void> {
  const of = (section: Section): boolean => o.only.includes(section)
  const keep = (section: Section, value: unknown): void => {
    results[`${section} ${worker.name}`] = value
  }
  if (of('words')) {
    const { anew, again } = await measure.newWords(worker, plan)
    const row = [seconds(anew.cpu), seconds(again.cpu), times(anew.cpu / again.cpu)]
    table(`${worker.name}: 3 new words on an encoded photo`, ['segment()', 'encoded.segment()', 'times'], [row])
    keep('words', { anew, again })
  }
  if (of('pixels')) {
    const rows = await measure.byPixels(worker, plan)
    const body = rows.map(({ width, height, measured }) => [
      `${width} x ${height}`,
      seconds(measured.cpu),
      measured.peakMegabytes.toFixed(0),
    ])
    table(`${worker.name}: by pixels, 3 classes`, ['photo', 'seconds', 'MB'], body)
    keep('pixels', rows)
  }
  if (of('calls')) {
    const cores = Math.min(physicalCores(), 4)
    const start = (concurrency: number) => engine(o, worker.name.split(' ')[1] as string, cores, concurrency)
    const rows = await measure.byCalls(start, [1, cores], plan)
    const body = rows.map(({ concurrent, measured: [one, several] }) => [
      `${concurrent}`,
      ...[one, several].flatMap((m) => [seconds((m?.wall ?? 0) / concurrent), `${m?.peakMegabytes.toFixed(0)}`]),
      times((one?.wall ?? 0) / (several?.wall ?? 1)),
    ])
    const heads = ['calls', 'one at a time', 'MB', `${cores} side by side`, 'MB', 'times']
    table(`${worker.name}: calls at once, ${cores} threads, seconds of the clock for each`, heads, body)
    keep('calls', rows)
  }
  if (of('threads')) {
    const precision = worker.name.split(' ')[1] as string
    const rows = await measure.byThreads((threads) => engine(o, precision, threads), [1, 2, 4], plan)
    const one = rows[0]?.measured.wall ?? 0
    const body = rows.map(({ threads, measured: m }) => [
      `${threads}`,
      seconds(m.wall ?? 0),
      times(one / (m.wall ?? 1)),
      seconds(m.cpu),
    ])
    table(`${worker.name}: by threads, by the clock`, ['threads', 'clock', 'times', "processor's"], body)
    keep('threads', rows)
  }
  if (of('edges')) {
    const found = await measure.edges(worker, plan)
    printEdges(found)
    keep('edges', found)
  }
}

async function main(): Promise<void> {
  const o = parse()
  const plan: measure.Plan = { width: o.size[0], height: o.size[1], labels: o.classes, rounds: o.rounds }
  const results: Record<string, unknown> = { model: o.model, ...plan }
  console.log(`${o.model}, ${plan.width} x ${plan.height}, one thread, medians of ${plan.rounds} rounds`)
  if (o.only.some((section) => section !== 'stages')) await compare(o, plan, results)
  if (o.only.includes('stages')) results.stages = stages(o)
  if (o.json) writeFileSync(o.json, `${JSON.stringify(results, undefined, 2)}\n`)
}

main().catch((error: unknown) => {
  console.error((error as Error).message)
  process.exitCode = 1
})
