import { basename } from 'node:path'
import { hexColour, vocColour } from 'clip-es/photos'
import { escapeXml } from 'clip-es/support'
import { chart, hundredths, madeBy, page, picture, settingsSection, stat } from '../report/page.js'
import type { Drawn } from '../report/pictures.js'
import type { TrainCharts } from './charts.js'
import type { TrainJob, TrainManifest, Validation } from './run_files.js'

/** All that the page of a run shows. */
export interface RunReport {
  run: string
  manifest: TrainManifest
  job: TrainJob
  /** The last iteration, and the mean of its last losses. */
  iteration: number
  loss: number | undefined
  validations: readonly Validation[]
  charts: TrainCharts
  examples: readonly (Drawn & { id: string })[]
}

const count = (value: number): string => value.toLocaleString('en')

function header({ run, job, iteration, loss, validations }: RunReport): string {
  const best = validations.reduce<Validation | undefined>((a, b) => (a && a.miou >= b.miou ? a : b), undefined)
  return `<header>
<p class="brand">clip-es train</p>
<h1>${escapeXml(basename(run))}</h1>
<p class="lead">The network ${job.network.name} learns from the masks of ${count(job.samples.length)} pictures. This page is written again at each validation.</p>
<dl class="stats">
${stat(count(iteration), 'Iteration', `of ${count(job.training.iterations)}`)}
${stat(loss === undefined ? '–' : loss.toFixed(3), 'Loss', 'mean of the last iterations')}
${best ? stat(`${hundredths(best.miou)} %`, 'Best validation mIoU', `at iteration ${count(best.iteration)}, ${count(job.validation.length)} pictures`) : ''}
</dl>
</header>`
}

const curves = ({ charts: { loss, miou } }: RunReport): string => `<section id="curves"><h2>Curves</h2>
<div class="charts">
${chart(loss, 'Loss: each point is a mean over neighbouring iterations')}
${chart(miou, 'mIoU on the validation pictures, at scale 1')}
</div></section>`

function labels({ job, validations }: RunReport): string {
  const last = validations.at(-1)
  if (!last) return ''
  const rows = job.classes.flatMap((name, value) => {
    const iou = last.iou[value]
    if (iou === undefined || iou === null) return []
    const row = `<tr><td><span class="swatch" style="--colour:${hexColour(vocColour(value))}"></span>${escapeXml(name)}</td>
<td class="graph"><div class="bar"><span class="fill" style="width:${(100 * iou).toFixed(1)}%"></span></div></td><td>${hundredths(iou)}</td></tr>`
    return [{ iou, row }]
  })
  rows.sort((a, b) => b.iou - a.iou)
  return `<section id="labels"><h2>Labels at iteration ${count(last.iteration)}</h2>
<p>IoU in percent on the validation pictures. The best label comes first.</p>
<div class="scroll"><table>
<thead><tr><th>Label</th><th class="graph"></th><th>IoU</th></tr></thead>
<tbody>
${rows.map(({ row }) => row).join('\n')}
<tr class="mean"><td>mean</td><td class="graph"></td><td>${hundredths(last.miou)}</td></tr>
</tbody></table></div></section>`
}

function example({ id, photo, truth, found, labels }: Drawn & { id: string }): string {
  const names = labels.map(({ name }) => name).join(', ')
  const tags = labels.map(
    ({ name, colour }) => `<span class="tag"><span class="swatch" style="--colour:${colour}"></span>${escapeXml(name)}</span>`,
  )
  return `<div class="example"><h3><span>${escapeXml(id)}</span>${tags.join('')}</h3>
<div class="pictures">
${picture(photo, 'Photo', id)}
${picture(truth, 'Validation mask', `Validation mask: ${names}`)}
${picture(found, 'Network', `Mask of the network: ${names}`)}
</div></div>`
}

const examples = ({ examples: list, validations }: RunReport): string =>
  list.length
    ? `<section id="pictures"><h2>Validation pictures at iteration ${count(validations.at(-1)?.iteration ?? 0)}</h2>\n${list.map(example).join('\n')}</section>`
    : ''

function settings({ manifest, job, run }: RunReport): string {
  const { network, training } = job
  const { mode, threshold } = training.confidence
  const guided = {
    hard: `pixels below ${threshold} are left out`,
    soft: `pixels weigh as much as they are sure (threshold ${threshold})`,
    off: 'all pixels are used',
  }
  return settingsSection([
    ['Folder', run],
    ...Object.entries(manifest.source).map(([name, path]): [string, string] => [name, path]),
    ['Network', [network.name, ...(network.msc.length ? [`also at the scales ${network.msc.join(', ')}`] : [])].join(', ')],
    ['Begins from', network.weights ?? 'random weights'],
    ['Confidence', guided[mode]],
    [
      'Batch',
      `${training.batch} x ${training.accumulate}, crops of ${training.crop}, scales ${training.scales.join(' to ')}${training.flip ? ', flips' : ''}`,
    ],
    [
      'Learning rate',
      `${training.learningRate}, head x ${training.headFactor}, its bias x ${training.headBiasFactor}, power ${training.power}`,
    ],
    ['Momentum, weight decay', `${training.momentum}, ${training.weightDecay}`],
    ['Loss', training.balanced ? 'balanced cross-entropy' : 'cross-entropy'],
    ['Gradients', training.clip === null ? 'not limited' : `limited to ${training.clip}`],
    ['Seed', `${job.seed}, ${job.threads} threads, ${job.device}`],
  ])
}

/** The page of a run: one file, no script, nothing from elsewhere. */
export const runPage = (report: RunReport): string =>
  page(
    basename(report.run),
    header(report),
    [curves(report), examples(report), labels(report), settings(report)],
    `<p>IoU: the overlap of mask and truth, divided by their union; the mIoU is its mean over the labels.</p>\n${madeBy(report.manifest.version)}`,
  )
