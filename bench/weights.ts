// npm run bench:weights -- MODEL: what loading takes, and the memory of several processes, with and without a weights file.
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Segmenter } from '../ts/index.js'

interface Measured {
  milliseconds: number
  from: string
  /** Bytes of this process, with its part of what it shares. */
  memory: number
}

const processes = 8

/** Proportional set size: memory that n processes share counts 1/n for each. */
function proportionalBytes(): number {
  const kilobytes = /^Pss:\s+(\d+) kB/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))?.[1]
  return 1024 * Number(kilobytes)
}

/** In a process of its own: loads, segments one photo so that all weights are used, and measures when all processes have done so. */
async function child(model: string, precision: 'float32' | 'bfloat16' | 'int8', weightsFolder: string): Promise<void> {
  const start = performance.now()
  const options = { model, precision, threads: 1, ...(weightsFolder && { weightsFolder }) }
  const segmenter = await Segmenter.load(options)
  const milliseconds = performance.now() - start
  const classes = await segmenter.encodeClasses(['cat', 'dog'])
  await segmenter.segment({ data: new Uint8Array(224 * 224 * 3).fill(99), width: 224, height: 224 }, classes)
  process.send?.('ready')
  process.once('message', () => {
    const measured: Measured = { milliseconds, from: segmenter.model.weightsFrom, memory: proportionalBytes() }
    process.send?.(measured, () => process.exit(0))
  })
}

const message = (one: ChildProcess): Promise<unknown> =>
  new Promise((done, failed) => {
    one.once('message', done)
    one.once('exit', (status) => failed(new Error(`a process ended with status ${status}`)))
  })

/** Starts them one after another, so that each load has the machine for itself. */
async function measure(count: number, ...args: string[]): Promise<Measured[]> {
  const children: ChildProcess[] = []
  for (let i = 0; i < count; i++) {
    const one = fork(__filename, ['child', ...args], { execArgv: ['--import', 'tsx'] })
    await message(one)
    children.push(one)
  }
  const results: Measured[] = []
  for (const one of children) {
    const answer = message(one)
    one.send('measure')
    results.push((await answer) as Measured)
  }
  return results
}

const megabytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MB`
const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number

async function main(model: string): Promise<void> {
  console.log(`${model}, ${megabytes(statSync(model).size)}; ${processes} processes, 1 thread each, after one photo`)
  for (const precision of ['float32', 'bfloat16', 'int8']) {
    const folder = mkdtempSync(join(tmpdir(), 'clip-es-weights-'))
    try {
      const alone = await measure(processes, model, precision, '')
      await measure(1, model, precision, folder)
      const shared = await measure(processes, model, precision, folder)
      const load = (all: Measured[]) => median(all.map(({ milliseconds }) => milliseconds))
      const memory = (all: Measured[]) => all.reduce((sum, one) => sum + one.memory, 0)
      const from = new Set(shared.map((one) => one.from))
      console.log(
        `${precision}: load ${load(alone).toFixed(0)} ms from the archive, ${load(shared).toFixed(0)} ms from the ${[...from].join(' and ')} (${(load(alone) / load(shared)).toFixed(1)} times as fast); ` +
          `memory of all processes ${megabytes(memory(alone))} and ${megabytes(memory(shared))} (${((100 * memory(shared)) / memory(alone)).toFixed(0)} %)`,
      )
    } finally {
      rmSync(folder, { recursive: true })
    }
  }
}

const [first, model = '', precision, folder = ''] = process.argv.slice(2)
if (first === 'child') void child(model, precision as 'float32', folder)
else if (first !== undefined) void main(first)
else {
  console.error('usage: npm run bench:weights -- MODEL')
  process.exitCode = 2
}
