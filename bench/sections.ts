// What is measured. Each section takes turns between the runners, round by round, and keeps medians.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import type { Timings } from '../ts/index.js'
import type { Cost, Worker } from './worker.js'

export interface Plan {
  width: number
  height: number
  labels: number[]
  rounds: number
}

/** Medians of what a request costs with each runner. */
export interface Measured {
  runner: string
  cpu: number
  wall?: number
  peakMegabytes: number
  last: Cost
}

export type Start = (threads: number) => Promise<Worker>

const median = (values: number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

/** One request, to every runner in turn, `rounds` times after one that warms up. */
export async function inTurns(runners: readonly Worker[], request: object, rounds: number): Promise<Measured[]> {
  const costs = new Map<Worker, Cost[]>(runners.map((runner) => [runner, []]))
  for (let round = -1; round < rounds; round++)
    for (const runner of runners) {
      const cost = await runner.ask(request)
      if (round >= 0) costs.get(runner)?.push(cost)
    }
  return runners.map((runner) => {
    const own = costs.get(runner) as Cost[]
    const walls = own.flatMap(({ wall }) => (wall === undefined ? [] : [wall]))
    return {
      runner: runner.name,
      cpu: median(own.map(({ cpu }) => cpu)),
      ...(walls.length > 0 && { wall: median(walls) }),
      peakMegabytes: Math.max(...own.map(({ peakMegabytes }) => peakMegabytes)),
      last: own.at(-1) as Cost,
    }
  })
}

export async function byClasses(runners: readonly Worker[], plan: Plan) {
  const rows = []
  for (const labels of plan.labels)
    rows.push({ labels, measured: await inTurns(runners, { width: plan.width, height: plan.height, labels }, plan.rounds) })
  return rows
}

/** A photo against new words on one that is encoded already. */
export async function newWords(engine: Worker, plan: Plan) {
  const request = { width: plan.width, height: plan.height, labels: 3 }
  const [anew] = await inTurns([engine], request, plan.rounds)
  const [again] = await inTurns([engine], { ...request, encoded: true }, plan.rounds)
  return { anew: anew as Measured, again: again as Measured }
}

export const prompts = (runners: readonly Worker[], plan: Plan) => inTurns(runners, { prompts: 45 }, plan.rounds)

export async function byPixels(engine: Worker, plan: Plan) {
  const rows = []
  for (const [width, height] of [
    [320, 240],
    [500, 375],
    [640, 480],
    [1024, 768],
  ]) {
    const [measured] = await inTurns([engine], { width, height, labels: 3 }, plan.rounds)
    rows.push({ width: width as number, height: height as number, measured: measured as Measured })
  }
  return rows
}

/** Seconds of the clock by threads: all are started first and take turns. */
export async function byThreads(start: Start, counts: readonly number[], plan: Plan) {
  const engines = await Promise.all(counts.map(start))
  const measured = await inTurns(engines, { width: plan.width, height: plan.height, labels: 3 }, plan.rounds)
  for (const engine of engines) engine.stop()
  return counts.map((threads, i) => ({ threads, measured: measured[i] as Measured }))
}

/** Calls made at once on segmenters that do one after another or several side by side, in turns: seconds of the clock for all. */
export async function byCalls(start: Start, concurrencies: readonly number[], plan: Plan) {
  const engines = await Promise.all(concurrencies.map(start))
  const rows = []
  for (const concurrent of [1, 4, 12])
    rows.push({
      concurrent,
      measured: await inTurns(engines, { width: plan.width, height: plan.height, labels: 3, concurrent }, plan.rounds),
    })
  for (const engine of engines) engine.stop()
  return rows
}

export interface Edges {
  decode: number
  preprocess: number
  mask: number
  total: number
  share: number
}

/** A 12-megapixel JPEG, reduced to the network's 1024 pixels, its mask at its own size: what is spent before and after the network. */
export async function edges(engine: Worker, plan: Plan): Promise<Edges> {
  const folder = mkdtempSync(join(tmpdir(), 'clip-es-bench-'))
  try {
    const jpeg = join(folder, 'photo.jpg')
    const noise = { type: 'gaussian' as const, mean: 128, sigma: 60 }
    const small = await sharp({ create: { width: 400, height: 300, channels: 3, background: '#000', noise } })
      .png()
      .toBuffer()
    await sharp(small).resize(4000, 3000).jpeg().toFile(jpeg)
    const [measured] = await inTurns([engine], { jpeg, labels: 3 }, Math.min(plan.rounds, 3))
    const { decode, timings, wall } = (measured as Measured).last as unknown as { decode: number; timings: Timings; wall: number }
    const [preprocess, mask] = [timings.preprocess / 1000, timings.mask / 1000]
    return { decode, preprocess, mask, total: wall, share: (decode + preprocess + mask) / wall }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
