// node --import tsx tools/auto_labels/measure.ts SET [--only WORD] [--class-file FILE]
// Compares ways to segment on a data set that tools/demo-model/run.sh --set drew: with given labels, with found labels, and with none; at
// several scales and with the mirrored photo; without labels of low scores, and without pixels of low probability.
// Prints mIoU, boundary IoU, pixel accuracy, the labels found, CPU time and memory. Every way runs in a process of its own, in float32 with
// one thread and the CRF, so that the peak of its memory is its own. --class-file names other words or thresholds for the same classes.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Evaluator } from '../../cli/src/eval/evaluation.js'
import {
  type ClassSet,
  type ImageData,
  Segmenter,
  type SegmentOptions,
  type SimilarityPreset,
  similarityPresets,
} from '../../ts/index.js'
import { readClassFile, readMask, readPhoto } from '../../ts/photos/index.js'
import { recogniseObjects } from './recognise.js'

/**
 * Three ways show what mistakes cost. 'right': the found labels without the wrong ones. 'completed': the found labels and the missed ones.
 * 'recognised': what the model calls each true object.
 */
type Labels = 'given' | 'auto' | 'all' | 'right' | 'completed' | 'recognised'

interface Way {
  labels: Labels
  maps: 'gradcam' | SimilarityPreset
  refine: boolean
  labelThreshold?: number
  scales?: readonly number[]
  flip?: boolean
  minScore?: number
  backgroundBelow?: number
}

const presets = Object.keys(similarityPresets) as SimilarityPreset[]

const single: readonly Way[] = [
  { labels: 'given', maps: 'gradcam', refine: true },
  { labels: 'given', maps: 'naclip', refine: true },
  { labels: 'all', maps: 'naclip', refine: true },
]
const views: readonly Pick<Way, 'scales' | 'flip'>[] = [
  { flip: true },
  { scales: [0.75, 1, 1.25] },
  { scales: [0.75, 1, 1.25], flip: true },
  { scales: [1, 1.5] },
  { scales: [1, 1.5, 2], flip: true },
]

const ways: readonly Way[] = [
  ...(['given', 'auto', 'all'] as const).map((labels) => ({ labels, maps: 'gradcam' as const, refine: true })),
  { labels: 'auto', maps: 'gradcam', refine: true, labelThreshold: 0.22 },
  { labels: 'given', maps: 'gradcam', refine: false },
  ...presets.flatMap((maps) => (['given', 'auto', 'all'] as const).map((labels) => ({ labels, maps, refine: true }))),
  { labels: 'all', maps: 'clip', refine: false },
  { labels: 'right', maps: 'gradcam', refine: true },
  { labels: 'completed', maps: 'gradcam', refine: true },
  { labels: 'recognised', maps: 'gradcam', refine: true },
  ...single.flatMap((way) => views.map((view) => ({ ...way, ...view }))),
  ...[0.2, 0.4, 0.6, 0.8].map((minScore) => ({ labels: 'all' as const, maps: 'naclip' as const, refine: true, minScore })),
  ...[0.4, 0.5, 0.6].flatMap((backgroundBelow) =>
    (['all', 'auto'] as const).map((labels) => ({ labels, maps: 'naclip' as const, refine: true, backgroundBelow })),
  ),
  { labels: 'all', maps: 'naclip', refine: true, minScore: 0.6, backgroundBelow: 0.5 },
  { labels: 'all', maps: 'naclip', refine: true, scales: [0.75, 1, 1.25], flip: true, backgroundBelow: 0.5 },
  ...presets.map((maps) => ({ labels: 'all' as const, maps, refine: true, backgroundBelow: 0.5 })),
  { labels: 'auto', maps: 'gradcam', refine: true, backgroundBelow: 0.6 },
]

function nameOf({ labels, maps, refine, labelThreshold, scales, flip, minScore, backgroundBelow }: Way): string {
  const settings = [
    ...(refine ? [] : ['no CAA']),
    ...(labelThreshold ? [`threshold ${labelThreshold}`] : []),
    ...(scales ? [`scales ${scales.join(' ')}`] : []),
    ...(flip ? ['flip'] : []),
    ...(minScore ? [`least score ${minScore}`] : []),
    ...(backgroundBelow ? [`background below ${backgroundBelow}`] : []),
  ]
  return [`${labels} labels`, maps, ...settings].join(', ')
}

interface Figures {
  miou: number
  boundary: number
  accuracy: number
  precision: number
  recall: number
  /** Milliseconds of CPU time for each photo: other programs do not change it as much as the time on the clock. */
  time: number
  /** Of the process, in MB. */
  memory: number
}

/** Photo and labels of each line of labels.csv. */
function photosOf(set: string): { photo: string; labels: string[] }[] {
  const [, ...lines] = readFileSync(join(set, 'labels.csv'), 'utf8').trim().split('\n')
  return lines.map((line) => {
    const [photo = '', labels = ''] = line.split(',')
    return { photo, labels: labels.split(';') }
  })
}

function optionsOf({ labels, maps, labelThreshold, ...settings }: Way, given: readonly string[]): SegmentOptions {
  return {
    ...(maps === 'gradcam' ? {} : { maps: { preset: maps } }),
    ...(labels === 'all' ? {} : { labels: labels === 'auto' ? 'auto' : given }),
    ...(labelThreshold === undefined ? {} : { labelThreshold }),
    ...settings,
    crf: true,
  }
}

/** The labels to ask for: the given ones, but for the ways that show what mistakes cost. */
async function askedLabels(
  segmenter: Segmenter,
  image: ImageData,
  classes: ClassSet,
  truth: Uint8Array,
  way: Labels,
  given: readonly string[],
): Promise<readonly string[]> {
  if (way === 'recognised') return await recogniseObjects(segmenter, image, truth, classes)
  if (way !== 'right' && way !== 'completed') return given
  const { labels: found } = await segmenter.segment(image, classes, { labels: 'auto', refine: false })
  if (way === 'completed') return [...new Set([...found, ...given])]
  const right = given.filter((name) => found.includes(name))
  return right.length ? right : given.slice(0, 1) // a call needs a label; this favours the way a little
}

async function measure(set: string, way: Way, classFile: string): Promise<Figures> {
  const { classes: specs, ...encoding } = readClassFile(classFile)
  const { template, fusion, background } = encoding
  const segmenter = await Segmenter.load({ threads: 1, precision: 'float32' })
  const classes = await segmenter.encodeClasses(specs, { template, fusion, background })
  const evaluator = new Evaluator(['background', ...classes.names], 0.02)
  let [hits, found, there, time] = [0, 0, 0, 0]
  for (const { photo, labels } of photosOf(set)) {
    const image = await readPhoto(join(set, 'photos', photo), { orientation: 'ignored' })
    const truth = await readMask(join(set, 'truth', photo))
    const begin = process.cpuUsage()
    const asked = await askedLabels(segmenter, image, classes, truth.data, way.labels, labels)
    const result = await segmenter.segment(image, classes, optionsOf(way, asked))
    const { user, system } = process.cpuUsage(begin)
    time += (user + system) / 1000
    evaluator.add(photo, result.mask, truth.data, image.width, image.height)
    const shown = result.labels.filter((name) => result.mask.includes(classes.names.indexOf(name) + 1))
    hits += shown.filter((name) => labels.includes(name)).length
    found += shown.length
    there += labels.length
  }
  await segmenter.close()
  const { miou, boundaryMiou, pixelAccuracy, images } = evaluator.figures()
  return {
    ...{ miou, boundary: boundaryMiou, accuracy: pixelAccuracy, precision: hits / found, recall: hits / there },
    ...{ time: time / images, memory: process.resourceUsage().maxRSS / 1024 },
  }
}

/** In a process of its own. */
function measureApart(set: string, index: number, classFile: string): Figures {
  const args = ['--no-warnings', '--import', 'tsx', __filename, set, '--way', String(index), '--class-file', classFile]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', cwd: join(__dirname, '../..') })
  if (status !== 0) throw new Error(`${nameOf(ways[index] as Way)} failed: ${stderr}`)
  return JSON.parse(stdout) as Figures
}

const columns = ['mIoU', 'boundary', 'accuracy', 'precision', 'recall', 'CPU ms', 'MB']

function row({ miou, boundary, accuracy, precision, recall, time, memory }: Figures): string[] {
  const percent = [miou, boundary, accuracy, precision, recall].map((share) => (100 * share).toFixed(1))
  return [...percent, time.toFixed(0), memory.toFixed(0)]
}

async function main(args: string[]): Promise<void> {
  const { positionals, values } = parseArgs({
    args,
    allowPositionals: true,
    options: { only: { type: 'string', default: '' }, 'class-file': { type: 'string' }, way: { type: 'string' } },
  })
  const set = resolve(positionals[0] ?? '')
  const classFile = resolve(values['class-file'] ?? join(__dirname, '../../models/emoji-classes.json'))
  if (!existsSync(join(set, 'labels.csv')))
    throw new Error(`there is no data set in '${set}'; draw one with tools/demo-model/run.sh --set DIR`)
  if (values.way !== undefined) return console.log(JSON.stringify(await measure(set, ways[Number(values.way)] as Way, classFile)))
  const width = Math.max(...ways.map((way) => nameOf(way).length))
  const line = (name: string, cells: readonly string[]) =>
    console.log(name.padEnd(width) + cells.map((cell) => cell.padStart(10)).join(''))
  console.log(`${photosOf(set).length} photos; precision and recall of the classes that have pixels in the masks; %`)
  line('way', columns)
  for (const [index, way] of ways.entries())
    if (nameOf(way).includes(values.only)) line(nameOf(way), row(measureApart(set, index, classFile)))
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
