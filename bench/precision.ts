// npx tsx bench/precision.ts: what rounding costs. The embedded model on its scenes, in float32 and in the other precisions.
import { demoClasses, demoScenes } from '../cli/src/demo/scenes.js'
import { Confusion, meanOfNumbers } from '../cli/src/metrics/confusion.js'
import { embeddedModel } from '../ts/engine/model_path.js'
import { type ClassSet, type Precision, Segmenter, type SegmentResult } from '../ts/index.js'
import { table } from './print.js'

type Scenes = Awaited<ReturnType<typeof demoScenes>>
type Results = SegmentResult[]

const precisions = ['float32', 'bfloat16', 'int8'] as const

async function run(precision: Precision, scenes: Scenes): Promise<Results> {
  const { classes: specs, template, fusion, background, boxThreshold } = demoClasses()
  const segmenter = await Segmenter.load(embeddedModel(), { precision })
  try {
    const classes: ClassSet = await segmenter.encodeClasses(specs, { template, fusion, background })
    const results = []
    for (const { image, labels } of scenes)
      results.push(await segmenter.segment(image, classes, { labels, boxThreshold, include: ['cams'] }))
    return results
  } finally {
    await segmenter.close()
  }
}

/** Mean over classes that are there, background included. */
function meanIou(results: Results, scenes: Scenes, size: number): number {
  const confusion = new Confusion(size)
  for (const [i, { mask }] of results.entries()) confusion.add(mask, (scenes[i] as Scenes[number]).truth)
  return meanOfNumbers(confusion.classes().map(({ iou }) => iou))
}

const sameShare = (a: Uint8Array, b: Uint8Array): number =>
  a.reduce((sum, value, i) => sum + Number(value === b[i]), 0) / a.length

function camDifferences(a: Results, b: Results): { mean: number; largest: number } {
  let [sum, count, largest] = [0, 0, 0]
  for (const [i, { cams }] of a.entries())
    for (const [k, value] of (cams as Float32Array).entries()) {
      const difference = Math.abs(value - (((b[i] as SegmentResult).cams as Float32Array)[k] as number))
      sum += difference
      largest = Math.max(largest, difference)
      count++
    }
  return { mean: sum / count, largest }
}

async function main(): Promise<void> {
  const names = demoClasses().classes.map((spec) => (typeof spec === 'string' ? spec : spec.name))
  const scenes = await demoScenes(names)
  const percent = (share: number): string => `${(100 * share).toFixed(2)} %`
  const rows = []
  let exact: Results = []
  for (const precision of precisions) {
    const results = await run(precision, scenes)
    if (precision === 'float32') exact = results
    const shares = results.map(({ mask }, i) => sameShare(mask, (exact[i] as SegmentResult).mask))
    const { mean, largest } = camDifferences(results, exact)
    rows.push([
      precision,
      percent(shares.reduce((sum, share) => sum + share, 0) / shares.length),
      percent(Math.min(...shares)),
      percent(meanIou(results, scenes, names.length + 1)),
      mean.toFixed(4),
      largest.toFixed(3),
    ])
  }
  table(
    `The embedded model's ${scenes.length} scenes, beside float32`,
    ['precision', 'same pixels', 'worst scene', 'mIoU', 'maps, mean difference', 'largest'],
    rows,
  )
}

main().catch((error: unknown) => {
  console.error((error as Error).message)
  process.exitCode = 1
})
