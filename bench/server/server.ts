// npm run bench:server -- [options]: how much of the engine's speed arrives over HTTP, and the same model behind Python's usual server, in one run.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import sharp from 'sharp'
import { Segmenter } from '../../ts/index.js'
import { readPhoto } from '../../ts/photos/index.js'
import { defaultThreads, embeddedModel } from '../../ts/support/index.js'
import { table, times } from '../print.js'
import { type Load, runLoad } from './load.js'
import { type Program, startPeer, startProduct } from './programs.js'

interface Options {
  model: string
  threads: number
  photos: number
  rounds: number
  clients: number[]
  python: string
}

const whole = (text: string): number => {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('expected a whole number from 1 to 999999')
  return Number(text)
}

const words = ['cat', 'dog', 'car']

function parse(): Options {
  return new Command('npm run bench:server --')
    .description('Photos a second and percentiles of latency over loopback, beside segmentAll() and FastAPI')
    .option('--model <file>', 'an archive', embeddedModel())
    .option('--threads <n>', 'of each program', whole, defaultThreads())
    .option('--photos <n>', 'requests of each measurement', whole, 200)
    .option('--rounds <n>', 'in which the programs take turns; the median is printed', whole, 3)
    .option('--clients <list>', 'at the same time', (text: string) => text.split(',').map(whole), [1, 4, 16, 64])
    .option('--python <file>', 'an interpreter with torch, numpy, pillow, fastapi and uvicorn', 'python3')
    .parse()
    .opts<Options>()
}

/** The demo scenes as JPEG files of 500 x 375 pixels. */
async function makePhotos(): Promise<Buffer[]> {
  const folder = join(__dirname, '../../models/scenes')
  const names = Object.keys(JSON.parse(readFileSync(join(folder, 'labels.json'), 'utf8')) as object)
  return await Promise.all(
    names.map((name) =>
      sharp(join(folder, `${name}.png`))
        .resize(500, 375, { fit: 'fill' })
        .jpeg()
        .toBuffer(),
    ),
  )
}

/** Photos a second of the engine without HTTP: pixels in, masks out. */
async function measureEngine({ model, threads, photos: count }: Options, files: readonly Buffer[]): Promise<number> {
  const segmenter = await Segmenter.load(model, { threads })
  try {
    const classes = await segmenter.encodeClasses(words)
    const images = await Promise.all(files.map((file) => readPhoto(file)))
    const source = Array.from({ length: count }, (_, i) => images[i % images.length] as (typeof images)[number])
    const begin = performance.now()
    for await (const _ of segmenter.segmentAll(source, classes)) {
      // only the time counts
    }
    return (1000 * count) / (performance.now() - begin)
  } finally {
    await segmenter.close()
  }
}

/** Starts a program, warms it up, and lets each number of clients use it. */
async function measureProgram(
  start: () => Promise<Program>,
  files: readonly Buffer[],
  { clients, photos }: Options,
): Promise<Load[]> {
  const program = await start()
  try {
    await runLoad(program.url, files, 2, Math.min(photos, files.length))
    const loads: Load[] = []
    for (const count of clients) loads.push(await runLoad(program.url, files, count, photos))
    return loads
  } finally {
    await program.end()
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] as number
}

function printLoads(name: string, rounds: readonly Load[][], engine: number): void {
  const rows = (rounds[0] as Load[]).map(({ clients }, i) => {
    const of = (value: (load: Load) => number) => median(rounds.map((loads) => value(loads[i] as Load)))
    const rate = of(({ photosPerSecond }) => photosPerSecond)
    const latency = [of(({ p50 }) => p50), of(({ p95 }) => p95), of(({ p99 }) => p99)].map((value) => `${value.toFixed(0)} ms`)
    return [
      String(clients),
      rate.toFixed(2),
      `${((100 * rate) / engine).toFixed(0)} %`,
      ...latency,
      String(of(({ failed }) => failed)),
    ]
  })
  table(name, ['clients', 'photos/s', 'of segmentAll', 'p50', 'p95', 'p99', 'failed'], rows)
}

async function main(): Promise<void> {
  const options = parse()
  const { model, threads, python, rounds } = options
  const files = await makePhotos()
  const engine: number[] = []
  const product: Load[][] = []
  const peer: Load[][] = []
  for (let round = 0; round < rounds; round++) {
    engine.push(await measureEngine(options, files))
    product.push(
      await measureProgram(() => startProduct(['--model', model, '--threads', String(threads)], words), files, options),
    )
    try {
      peer.push(await measureProgram(() => startPeer(python, model, threads, words.length), files, options))
    } catch (error) {
      console.log(`FastAPI is left out: ${(error as Error).message}`)
    }
  }
  const rate = median(engine)
  console.log(
    `${model}, ${threads} threads, ${words.length} classes, 500 x 375, ${options.photos} photos, ${rounds} rounds, in which the programs alternate`,
  )
  console.log(`segmentAll(): ${rate.toFixed(2)} photos/s`)
  printLoads('clip-es serve', product, rate)
  if (!peer.length) return
  printLoads('FastAPI on uvicorn, closed form in PyTorch', peer, rate)
  const best = (all: Load[][]) => Math.max(...all.flatMap((loads) => loads.map(({ photosPerSecond }) => photosPerSecond)))
  console.log(`\nBest rate of clip-es serve: ${times(best(product) / best(peer))} that of FastAPI`)
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
