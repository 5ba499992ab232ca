import { existsSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import sharp from 'sharp'
import { type Evaluation, type ImageFigures, readEvaluation } from '../eval/evaluation.js'
import { openTruth } from '../eval/truth.js'
import { photosById } from '../photos/by_id.js'
import { readJournal } from '../results/journal.js'
import { type Manifest, readManifest } from '../results/manifest.js'
import { writeOutput } from '../shared/out_folder.js'
import { say } from '../shared/say.js'
import { asUsage, UsageError } from '../shared/usage.js'
import { drawCharts } from './charts.js'
import { reportPage } from './page.js'
import { drawExample, type Example } from './pictures.js'

export interface ReportOptions {
  out?: string
  photos?: string
  title?: string
  pictures: number
}

/** Runs `clip-es report`. */
export async function report(results: string, options: ReportOptions): Promise<void> {
  const { masks, cams, manifest } = await asUsage(() => ({
    masks: readEvaluation(join(results, 'eval.json')),
    cams: readEvaluation(join(results, 'eval-cams.json')),
    manifest: readManifest(results),
  }))
  const evaluation = masks ?? cams
  if (evaluation === undefined)
    throw new UsageError(`report: ${results} has no eval.json; make it first: clip-es eval ${results} --truth DIR`)
  sharp.concurrency(1)
  const { best, worst } = choose(evaluation.perImage, options.pictures)
  const photoOf = photoFinder(results, options.photos)
  const truths = await asUsage(() =>
    openTruth(
      evaluation.truth,
      evaluation.labels.map(({ name }) => name),
    ),
  )
  const draw = (list: ImageFigures[]): Promise<Example[]> =>
    Promise.all(list.map((figures) => drawExample(evaluation, truths, figures, photoOf)))
  const page = reportPage({
    title: options.title ?? titleOf(manifest, evaluation),
    evaluation,
    manifest,
    charts: await drawCharts(evaluation, cams?.search),
    best: await draw(best),
    worst: await draw(worst),
  })
  const out = options.out ?? join(results, 'report.html')
  writeOutput('report', '--out', out, page)
  say(resolve(out))
}

/** The best and the worst, none of them twice. */
function choose(images: readonly ImageFigures[], most: number): { best: ImageFigures[]; worst: ImageFigures[] } {
  const sorted = images.toSorted((a, b) => b.miou - a.miou)
  const count = Math.min(most, Math.ceil(sorted.length / 2))
  const best = sorted.slice(0, count)
  return { best, worst: sorted.slice(Math.max(count, sorted.length - count)).reverse() }
}

function photoFinder(results: string, photos: string | undefined): (id: string) => string | undefined {
  if (photos === undefined) {
    const journal = readJournal(results)
    return (id) => journal.get(id)?.photo
  }
  if (!existsSync(photos))
    throw new UsageError(`report: there is no folder ${photos}; name the folder of the photos with --photos`)
  const photoOf = photosById(photos)
  return (id) => {
    try {
      return photoOf(id)
    } catch {
      return undefined // the page goes without this photo
    }
  }
}

function titleOf(manifest: Manifest | undefined, { results }: Evaluation): string {
  const { kind, split, annotations = '', folder = '' } = manifest?.source ?? {}
  if (kind === 'voc') return `PASCAL VOC, ${split}`
  if (kind === 'coco') return `COCO, ${basename(annotations, '.json')}`
  return basename(folder || results)
}
