// node --import tsx bench/dataset.ts PHOTOS [MODEL] [COUNT] [ROUNDS]: how much of segmentAll's throughput is left when photos are read and results
// written around it, as clip-es dataset does. Photos decoded beforehand go through segmentAll(); then the same through the pipeline of clip-es dataset, all at
// once and, for the sum of the stages, one after another; each with masks alone and with confidence and CAMs; in turns, so that other
// load on the machine meets all of them. Prints medians, and what share of the throughput of segmentAll for the same outputs they are.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import sharp from 'sharp'
import { type DatasetJob, datasetStages, folderExchange } from '../cli/src/dataset/photo.js'
import { othersInWork, runPipeline } from '../cli/src/pipeline/pipeline.js'
import { Progress } from '../cli/src/pipeline/progress.js'
import { Journal } from '../cli/src/results/journal.js'
import { type OutputKind, ResultStore } from '../cli/src/results/store.js'
import { classSets, type ImageData, type ResultPart, Segmenter } from '../ts/index.js'
import { readPhoto } from '../ts/photos/read_photo.js'

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

type Engine = Pick<DatasetJob, 'segmenter' | 'classes'>

async function alone({ segmenter, classes }: Engine, images: ImageData[], include: ResultPart[]): Promise<void> {
  for await (const _ of segmenter.segmentAll(images, classes, { labels, include })); // results are dropped
}

async function around(photos: string[], engine: Engine, outputs: OutputKind[], atOnce: boolean): Promise<void> {
  const out = mkdtempSync(join(tmpdir(), 'clip-es-bench-'))
  const [store, journal] = [new ResultStore(out, '1-of-1'), new Journal(out, '1-of-1')]
  const items = photos.map((photo, i) => ({ id: String(i), photo, labels }))
  const include = outputs.filter((kind) => kind !== 'mask')
  const job: DatasetJob = { ...engine, options: { include }, outputs, colours: [], settings: '' }
  const run = {
    window: atOnce ? engine.segmenter.model.photosAtATime + othersInWork : 1,
    signal: new AbortController().signal,
    progress: new Progress(items.length, 'none', Number.POSITIVE_INFINITY),
    out,
    describe(outcome: object) {
      if ('error' in outcome) throw outcome.error
      return { text: () => '', json: () => ({}) }
    },
  }
  await runPipeline(items, datasetStages(job, folderExchange({ store, journal }, outputs)), run)
  journal.close()
  rmSync(out, { recursive: true })
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] as number

async function main(folder: string, model: string | undefined, count: number, rounds: number): Promise<void> {
  sharp.concurrency(1)
  const names = readdirSync(folder).filter((name) => /\.(jpe?g|png)$/.test(name))
  const photos = names.slice(0, count).map((name) => resolve(folder, name))
  const images = await Promise.all(photos.map((photo) => readPhoto(photo, { orientation: 'ignored' })))
  const segmenter = await Segmenter.load(model)
  const classes = await segmenter.encodeClasses(classSets.voc.classes.map(({ name }) => name))
  const engine = { segmenter, classes }
  const ways: Readonly<Record<string, (kinds: OutputKind[]) => Promise<void>>> = {
    segmentAll: (kinds) =>
      alone(
        engine,
        images,
        kinds.filter((kind) => kind !== 'mask'),
      ),
    'data set': (kinds) => around(photos, engine, kinds, true),
    'sum of stages': (kinds) => around(photos, engine, kinds, false),
  }
  const rows = Object.entries(outputs).flatMap(([name, kinds]) =>
    Object.entries(ways).map(([way, work]) => ({ name: `${name}: ${way}`, work: () => work(kinds), costs: [] as Cost[] })),
  )
  await alone(engine, images, [])
  for (let round = 0; round < rounds; round++) for (const { work, costs } of rows) costs.push(await costOf(work))
  console.log(`milliseconds a photo, ${photos.length} photos        by the clock          processor's time`)
  for (const [i, { name, costs }] of rows.entries()) {
    const base = rows[i - (i % Object.keys(ways).length)]?.costs as Cost[]
    const figures = (['seconds', 'cpu'] as const).map((figure) => {
      const [own, of] = [costs, base].map((list) => (1000 * median(list.map((cost) => cost[figure]))) / photos.length) as [
        number,
        number,
      ]
      return `${own.toFixed(1).padStart(10)} ${((100 * of) / own).toFixed(1).padStart(8)} %`
    })
    console.log(`${name.padEnd(28)} ${figures.join('   ')}`)
  }
  await segmenter.close()
}

const [folder = 'photos', model, count = '50', rounds = '5'] = process.argv.slice(2)
void main(folder, model || undefined, Number(count), Number(rounds))
