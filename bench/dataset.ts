// npx tsx bench/dataset.ts PHOTOS [MODEL] [COUNT] [ROUNDS]: how much of segmentAll's throughput is left when photos are read and results
// written around it, as clip-es dataset does. Photos decoded beforehand go through segmentAll(); then the same through runItems(), each
// with masks alone and with confidence and CAMs; in turns, so that other load on the machine meets all of them. Prints medians, and
// what share of the throughput of segmentAll for the same outputs they are.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import sharp from 'sharp'
import { Journal } from '../ts/dataset/journal.js'
import { type RunParts, runItems } from '../ts/dataset/run.js'
import { type OutputKind, ResultStore } from '../ts/dataset/store.js'
import { type ClassSet, classSets, type ImageData, Segmenter } from '../ts/index.js'
import { maskPalette } from '../ts/palette.js'
import { decodePhoto } from '../ts/photos/decode.js'

const labels = [7, 14] // cat, person
const outputs: Readonly<Record<string, OutputKind[]>> = { masks: ['mask'], 'all outputs': ['mask', 'confidence', 'cams'] }

interface Cost {
  seconds: number
  cpu: number
}

/** Beside the clock, the processor's time: it says what is spent whatever else the machine does. */
async function costOf(work: () => Promise<void>): Promise<Cost> {
  const [start, cpu] = [performance.now(), process.cpuUsage()]
  await work()
  const { user, system } = process.cpuUsage(cpu)
  return { seconds: (performance.now() - start) / 1000, cpu: (user + system) / 1e6 }
}

async function alone(segmenter: Segmenter, classes: ClassSet, images: ImageData[], include: OutputKind[]): Promise<void> {
  for await (const _ of segmenter.segmentAll(images, classes, { labels, include })); // results are dropped
}

async function around(photos: string[], parts: Pick<RunParts, 'segmenter' | 'classes'>, kinds: OutputKind[]): Promise<void> {
  const out = mkdtempSync(join(tmpdir(), 'clip-es-bench-'))
  const [store, journal] = [new ResultStore(out, '1-of-1'), new Journal(out, '1-of-1')]
  const items = photos.map((photo, i) => ({ id: String(i), photo, labels }))
  const run = {
    ...{ segment: {}, outputs: new Set(kinds), palette: maskPalette(), maxPixels: 100e6, settings: '' },
    signal: new AbortController().signal,
  }
  await runItems(items, { ...parts, store, journal }, run, {
    done: () => {},
    failed: (_, message) => {
      throw new Error(message)
    },
  })
  journal.close()
  rmSync(out, { recursive: true })
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] as number

async function main(folder: string, model: string | undefined, count: number, rounds: number): Promise<void> {
  sharp.concurrency(1)
  const names = readdirSync(folder).filter((name) => /\.(jpe?g|png)$/.test(name))
  const photos = names.slice(0, count).map((name) => resolve(folder, name))
  const images = await Promise.all(photos.map((photo) => decodePhoto(photo, 100e6, 'ignored')))
  const segmenter = await Segmenter.load(model)
  const classes = await segmenter.encodeClasses(classSets.voc.classes.map(({ name }) => name))
  const costs = Object.keys(outputs).map((name) => ({ name, base: [] as Cost[], whole: [] as Cost[] }))
  await alone(segmenter, classes, images, ['mask'])
  for (let round = 0; round < rounds; round++)
    for (const { name, base, whole } of costs) {
      const kinds = outputs[name] as OutputKind[]
      base.push(await costOf(() => alone(segmenter, classes, images, kinds)))
      whole.push(await costOf(() => around(photos, { segmenter, classes }, kinds)))
    }
  console.log(`milliseconds a photo, ${photos.length} photos     by the clock           processor's time`)
  for (const { name, base, whole } of costs) {
    const of = (list: Cost[], figure: keyof Cost): number => (1000 * median(list.map((cost) => cost[figure]))) / photos.length
    const figures = (list: Cost[]): string =>
      (['seconds', 'cpu'] as const)
        .map((figure) => {
          const [own, share] = [of(list, figure), (100 * of(base, figure)) / of(list, figure)]
          return `${own.toFixed(1).padStart(10)} ${share.toFixed(1).padStart(8)} %`
        })
        .join('   ')
    console.log(`${`${name}: segmentAll`.padEnd(28)} ${figures(base)}\n${`${name}: data set`.padEnd(28)} ${figures(whole)}`)
  }
  await segmenter.close()
}

const [folder = 'photos', model, count = '50', rounds = '5'] = process.argv.slice(2)
void main(folder, model || undefined, Number(count), Number(rounds))
