// npx tsx bench/dataset.ts PHOTOS [MODEL] [COUNT] [ROUNDS]: how much of segmentAll's throughput is left when photos are read and results
// written around it, as clip-es dataset does. Photos decoded beforehand go through segmentAll(); then the same through runItems(),
// with masks alone and with confidence and CAMs; in turns, so that other load on the machine meets all of them. Prints medians,
// and what share of segmentAll's throughput they are.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import sharp from 'sharp'
import { Journal } from '../ts/dataset/journal.js'
import { runItems } from '../ts/dataset/run.js'
import { type OutputKind, ResultStore } from '../ts/dataset/store.js'
import { classSets, Segmenter } from '../ts/index.js'
import { maskPalette } from '../ts/palette.js'
import { decodePhoto } from '../ts/photos/decode.js'

const labels = [7, 14] // cat, person

interface Cost {
  seconds: number
  cpu: number
}

async function main(photos: string, model: string | undefined, count: number, rounds: number): Promise<void> {
  sharp.concurrency(1)
  const files = readdirSync(photos)
    .filter((name) => /\.(jpe?g|png)$/.test(name))
    .slice(0, count)
  const items = files.map((name) => ({ id: name, photo: resolve(photos, name), labels }))
  const images = await Promise.all(items.map(({ photo }) => decodePhoto(photo, 100e6, 'ignored')))
  const segmenter = await Segmenter.load(model)
  const classes = await segmenter.encodeClasses(classSets.voc.classes.map(({ name }) => name))
  const out = mkdtempSync(join(tmpdir(), 'clip-es-bench-'))
  // Beside the clock, the processor's time: it says what is spent whatever else the machine does.
  const timed = async (work: () => Promise<void>): Promise<Cost> => {
    const [start, cpu] = [performance.now(), process.cpuUsage()]
    await work()
    const { user, system } = process.cpuUsage(cpu)
    return { seconds: (performance.now() - start) / 1000, cpu: (user + system) / 1e6 }
  }
  const alone = () =>
    timed(async () => {
      for await (const _ of segmenter.segmentAll(images, classes, { labels })); // results are dropped
    })
  const around = (outputs: OutputKind[]) =>
    timed(async () => {
      const store = new ResultStore(out, '1-of-1')
      const journal = new Journal(out, '1-of-1')
      const listener = {
        done: () => {},
        failed: (_: unknown, message: string) => {
          throw new Error(message)
        },
      }
      const run = {
        ...{ segment: {}, outputs: new Set(outputs), palette: maskPalette(), maxPixels: 100e6, settings: '' },
        signal: new AbortController().signal,
      }
      await runItems(items, { segmenter, classes, store, journal }, run, listener)
      journal.close()
    })
  const ways = {
    'segmentAll alone': alone,
    masks: () => around(['mask']),
    'all outputs': () => around(['mask', 'confidence', 'cams']),
  }
  const costs = Object.fromEntries(Object.keys(ways).map((name) => [name, [] as Cost[]]))
  await alone()
  for (let round = 0; round < rounds; round++) for (const [name, way] of Object.entries(ways)) costs[name]?.push(await way())
  const median = (list: Cost[], of: keyof Cost): number =>
    list.map((cost) => cost[of]).sort((a, b) => a - b)[Math.floor(list.length / 2)] as number
  const base = costs['segmentAll alone'] as Cost[]
  const row = (list: Cost[], of: keyof Cost): string =>
    `${((1000 * median(list, of)) / files.length).toFixed(1).padStart(8)} ms ${((100 * median(base, of)) / median(list, of)).toFixed(1).padStart(6)} %`
  console.log(`${'a photo'.padEnd(18)} by the clock        processor's time`)
  for (const [name, list] of Object.entries(costs)) console.log(`${name.padEnd(18)} ${row(list, 'seconds')} ${row(list, 'cpu')}`)
  await segmenter.close()
  rmSync(out, { recursive: true })
}

const [photos = 'photos', model, count = '50', rounds = '5'] = process.argv.slice(2)
void main(photos, model || undefined, Number(count), Number(rounds))
