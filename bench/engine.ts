// The product in a process of its own, as a user would run it: npx tsx bench/engine.ts MODEL THREADS PRECISION CONCURRENCY. Requests are JSON lines:
//   { width, height, labels, maps? }         a photo segmented
//   { width, height, labels, encoded: true } new words on a photo that is encoded already; the encoding is not counted
//   { prompts }                              classes encoded
//   { width, height, labels, concurrent }    so many calls at once
// CONCURRENCY: photos computed side by side.
//   { jpeg, labels }                         a photo's file decoded and segmented
import { createInterface } from 'node:readline'
import { type ClassSet, type ImageData, type Precision, Segmenter, type SegmentOptions } from '../ts/index.js'
import { readPhoto } from '../ts/photos/read_photo.js'

interface Request {
  width: number
  height: number
  labels: number
  encoded?: boolean
  concurrent?: number
  prompts?: number
  jpeg?: string
  maps?: SegmentOptions['maps']
}

/** Soft shapes and some noise, as the peers' photo. */
function photo(width: number, height: number): ImageData {
  const data = new Uint8Array(width * height * 3)
  let seed = 2
  for (let i = 0; i < data.length; i++) {
    const [c, x, y] = [i % 3, Math.floor(i / 3) % width, Math.floor(i / 3 / width)]
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    data[i] = 128 + 100 * Math.sin(0.02 * x + c) * Math.cos(0.03 * y) + ((seed >>> 16) % 27)
  }
  return { data, width, height }
}

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `thing ${i + 1}`)

async function prepare(segmenter: Segmenter, sets: Map<number, ClassSet>, request: Request): Promise<() => Promise<object>> {
  if (request.prompts !== undefined) {
    const prompts = names(request.prompts)
    return async () => {
      await segmenter.encodeClasses(prompts, { background: [] })
      return {}
    }
  }
  const classes = sets.get(request.labels) ?? (await segmenter.encodeClasses(names(request.labels)))
  sets.set(request.labels, classes)
  if (request.jpeg !== undefined) {
    const file = request.jpeg
    return async () => {
      const start = performance.now()
      const image = await readPhoto(file, { orientation: 'obeyed' })
      const decode = (performance.now() - start) / 1000
      const { timings } = await segmenter.segment(image, classes)
      return { decode, timings }
    }
  }
  const image = photo(request.width, request.height)
  if (request.encoded) {
    const encoded = await segmenter.encode(image)
    return async () => {
      const { timings } = await encoded.segment(classes)
      encoded.dispose()
      return { timings }
    }
  }
  return async () => {
    const calls = Array.from({ length: request.concurrent ?? 1 }, () => segmenter.segment(image, classes, { maps: request.maps }))
    const [first] = await Promise.all(calls)
    return { timings: first?.timings }
  }
}

async function main([model, threads, precision, concurrency]: string[]): Promise<void> {
  const options = { threads: Number(threads), concurrency: Number(concurrency), precision: precision as Precision, maxSide: 1024 }
  const segmenter = await Segmenter.load(model, options)
  const sets = new Map<number, ClassSet>()
  const answer = (message: object): void => console.log(JSON.stringify(message))
  answer({ ready: true, model: segmenter.model })
  for await (const line of createInterface({ input: process.stdin })) {
    const work = await prepare(segmenter, sets, JSON.parse(line))
    const [start, before] = [performance.now(), process.cpuUsage()]
    const details = await work()
    const { user, system } = process.cpuUsage(before)
    const wall = (performance.now() - start) / 1000
    answer({ cpu: (user + system) / 1e6, wall, peakMegabytes: process.resourceUsage().maxRSS / 1024, ...details })
  }
  await segmenter.close()
}

void main(process.argv.slice(2))
