import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { writeWhole } from 'clip-es/support'
import { readMap } from '../eval/files.js'
import { type Drawn, drawMasks } from '../report/pictures.js'
import { drawTrainCharts } from './charts.js'
import { runPage } from './page.js'
import { pictureFile, readLosses, readValidations, type TrainJob, type TrainManifest, type Validation } from './run_files.js'

const recent = 50 // losses whose mean is shown

export const meanOf = (values: readonly number[]): number | undefined =>
  values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : undefined

/** Writes `report.html` of a run, from what is in its folder. */
export async function writeRunReport(job: TrainJob, manifest: TrainManifest): Promise<void> {
  const { run } = job
  const losses = readLosses(run)
  const validations = readValidations(run)
  const charts = await drawTrainCharts(
    losses.map(({ iteration, loss }) => ({ x: iteration, y: loss })),
    validations.map(({ iteration, miou }) => ({ x: iteration, y: 100 * miou })),
  )
  const page = runPage({
    ...{ run, manifest, job, validations, charts },
    iteration: losses.at(-1)?.iteration ?? 0,
    loss: meanOf(losses.slice(-recent).map(({ loss }) => loss)),
    examples: await drawExamples(job, validations.at(-1)),
  })
  writeWhole(join(run, 'report.html'), page)
}

/** The first validation pictures: photo, validation mask and the network's mask. */
async function drawExamples(job: TrainJob, last: Validation | undefined): Promise<(Drawn & { id: string })[]> {
  if (last === undefined) return []
  const shown = job.validation.slice(0, job.pictures).filter(({ name }) => existsSync(pictureFile(job.run, last.iteration, name)))
  return await Promise.all(
    shown.map(async ({ name, photo, mask }) => {
      const [truth, found] = await Promise.all([readMap(mask), readMap(pictureFile(job.run, last.iteration, name))])
      return { id: name, ...(await drawMasks(photo, truth.data, found, job.classes)) }
    }),
  )
}
