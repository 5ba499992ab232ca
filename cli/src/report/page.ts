import { defaults } from 'clip-es'
import { hexColour, vocColour } from 'clip-es/photos'
import { escapeXml } from 'clip-es/support'
import type { Evaluation, LabelFigures } from '../eval/evaluation.js'
import { ruleName } from '../metrics/cam_rule.js'
import type { Manifest } from '../results/manifest.js'
import { pageStyle } from './base_style.js'
import type { Charts } from './charts.js'
import type { Example } from './pictures.js'
import { reportStyle } from './style.js'

/** All that a page shows. */
export interface Report {
  title: string
  evaluation: Evaluation
  manifest: Manifest | undefined
  charts: Charts
  best: Example[]
  worst: Example[]
}

export const hundredths = (figure: number | null): string => (figure === null ? '–' : (100 * figure).toFixed(1))
const count = (value: number): string => value.toLocaleString('en')

export const stat = (value: string, name: string, note: string): string =>
  `<div class="stat"><dt>${name}</dt><dd>${value}</dd><dd class="note">${note}</dd></div>`

function header({ title, evaluation }: Report): string {
  const { images, pixels, miou, boundaryMiou, boundaryRatio, pixelAccuracy, ignored, labels, what, rule } = evaluation
  const known = labels.filter(({ iou }) => iou !== null).length
  const made = what === 'masks' ? 'Masks' : `CAMs with ${escapeXml(ruleName(rule as never))}`
  return `<header>
<p class="brand">clip-es report</p>
<h1>${escapeXml(title)}</h1>
<p class="lead">${made} from image-level labels only, compared with the ground truth of ${count(images)} ${images === 1 ? 'picture' : 'pictures'}. Pixels with the value
255 in the truth are not compared.</p>
<dl class="stats">
${stat(`${hundredths(miou)} %`, 'mIoU', `mean of ${known} labels, background included`)}
${stat(`${hundredths(boundaryMiou)} %`, 'Boundary mIoU', `within ${100 * boundaryRatio} % of the diagonal`)}
${stat(`${hundredths(pixelAccuracy)} %`, 'Pixel accuracy', `of ${count(pixels)} pixels`)}
${stat(`${hundredths(ignored)} %`, 'Ignored', 'of the pixels are 255 in the masks')}
</dl>
</header>`
}

function labelRow({ name, value, iou, boundaryIou, precision, recall, truth }: LabelFigures): string {
  const width = (100 * (iou ?? 0)).toFixed(1)
  return `<tr><td><span class="swatch" style="--colour:${hexColour(vocColour(value))}"></span>${escapeXml(name)}</td>
<td class="graph"><div class="bar"><span class="fill" style="width:${width}%"></span></div></td>
${[iou, boundaryIou, precision, recall].map((figure) => `<td>${hundredths(figure)}</td>`).join('')}<td>${count(truth)}</td></tr>`
}

function table({ labels, miou, boundaryMiou }: Evaluation): string {
  const known = labels.filter(({ iou }) => iou !== null).sort((a, b) => (b.iou as number) - (a.iou as number))
  return `<section id="labels"><h2>Labels</h2>
<p>Percent, with the pixels of all pictures pooled. The best label comes first. The colours are those of the masks.</p>
<div class="scroll"><table>
<thead><tr><th>Label</th><th class="graph"></th><th>IoU</th><th>Boundary IoU</th><th>Precision</th><th>Recall</th><th>True pixels</th></tr></thead>
<tbody>
${known.map(labelRow).join('\n')}
<tr class="mean"><td>mean</td><td class="graph"></td><td>${hundredths(miou)}</td><td>${hundredths(boundaryMiou)}</td><td></td><td></td><td></td></tr>
</tbody></table></div></section>`
}

export const chart = (svg: string | undefined, caption: string): string =>
  svg === undefined ? '' : `<figure>${svg}<figcaption>${caption}</figcaption></figure>`

function curves({ charts }: Report): string {
  const { pictures, thresholds, powers } = charts
  return `<section id="curves"><h2>Curves</h2>
<div class="charts">
${chart(pictures, 'Share of the pictures that reach an mIoU (of the labels of the picture)')}
${chart(thresholds, 'Masks from CAMs with a constant background')}
${chart(powers, 'Masks from CAMs with background = (1 − largest map)<sup>power</sup>; the paper uses power 1')}
</div></section>`
}

const confusion = ({ charts }: Report): string => `<section id="confusion"><h2>Confusions</h2>
<p>A row is a label of the truth, a column a label of the masks. A number is the percentage of the row's pixels. If there are many labels, only those with the most
pixels are shown.</p>
<div class="scroll">${charts.confusion}</div></section>`

export function picture(source: string | undefined, caption: string, alt: string): string {
  return source === undefined
    ? ''
    : `<figure><img src="${source}" alt="${escapeXml(alt)}"><figcaption>${caption}</figcaption></figure>`
}

function example({ id, miou, photo, truth, found, labels }: Example): string {
  const names = labels.map(({ name }) => name).join(', ')
  const tags = labels.map(
    ({ name, colour }) => `<span class="tag"><span class="swatch" style="--colour:${colour}"></span>${escapeXml(name)}</span>`,
  )
  return `<div class="example"><h3><span class="score">${hundredths(miou)} %</span><span>${escapeXml(id)}</span>${tags.join('')}</h3>
<div class="pictures">
${picture(photo, 'Photo', id)}
${picture(truth, 'Ground truth', `True outlines: ${names}`)}
${picture(found, 'Found', `Masks: ${names}`)}
</div></div>`
}

const examples = (id: string, title: string, list: readonly Example[]): string =>
  list.length ? `<section id="${id}"><h2>${title}</h2>\n${list.map(example).join('\n')}</section>` : ''

const scaleText = (scales: readonly number[], flip = false): string => `${scales.join(', ')}${flip ? ', with flips' : ''}`

/** How the masks were made, in words. */
function madeWith(settings: Manifest['settings']): [string, string][] {
  const common: [string, string][] = [
    ['Ignored below', String(settings.ignoreBelow)],
    ['CRF', settings.crf ? 'yes' : 'no'],
  ]
  if ('network' in settings) {
    const { network, scales, flip, knownLabels } = settings
    return [
      ['Network', network],
      ['Scales', scaleText(scales, flip)],
      ['Labels', knownLabels ? 'those of the data set' : 'all classes'],
      ...common,
    ]
  }
  const { template, background, boxThreshold, backgroundPower, refine, precision, maxSide } = settings
  const {
    maps = 'gradcam',
    scales = [1],
    flip,
    minScore = defaults.minScore,
    backgroundBelow = defaults.backgroundBelow,
  } = settings
  return [
    ['Prompt', [template].flat().join(' | ')],
    ['Background words', background.join(', ') || 'none'],
    ['Maps', typeof maps === 'string' ? maps : JSON.stringify(maps)],
    ['Scales', scaleText(scales, flip)],
    ['Lowest score of a label', String(minScore)],
    ['Refined by attention (CAA)', refine ? `yes, box threshold ${boxThreshold}` : 'no'],
    ['Background', `(1 − largest map)^${backgroundPower}${backgroundBelow ? `, at least ${backgroundBelow}` : ''}`],
    ...common,
    ['Precision', `${precision}, longest side ${maxSide}`],
  ]
}

function settings({ manifest, evaluation }: Report): string {
  const entries: [string, string][] = [
    ['Results', evaluation.results],
    ['Ground truth', evaluation.truth],
    ['Photos', evaluation.list],
    ['Ignored by the truth', `${hundredths(evaluation.truthIgnored)} % of the pixels`],
  ]
  if (manifest) entries.push(['Model', manifest.model], ...madeWith(manifest.settings))
  return settingsSection(entries)
}

export function settingsSection(entries: readonly [string, string][]): string {
  const items = entries.map(([name, value]) => `<dt>${escapeXml(name)}</dt><dd>${escapeXml(value)}</dd>`)
  return `<section id="settings"><h2>Settings</h2><dl class="settings">${items.join('\n')}</dl></section>`
}

const mostFailures = 100

function warnings({ warnings: list }: Evaluation): string {
  if (!list.length) return ''
  return `<section id="warnings"><h2>Warnings</h2><ul class="failures">${list.map((text) => `<li>${escapeXml(text)}</li>`).join('\n')}</ul></section>`
}

function failures({ evaluation }: Report): string {
  const list = evaluation.failures
  if (!list.length) return ''
  const shown = list.slice(0, mostFailures).map(({ id, message }) => `<li><b>${escapeXml(id)}</b>: ${escapeXml(message)}</li>`)
  const more = list.length > mostFailures ? `<p>and ${list.length - mostFailures} more</p>` : ''
  return `<section id="failures"><h2>Not compared: ${count(list.length)}</h2><ul class="failures">${shown.join('\n')}</ul>${more}</section>`
}

/** A page: one file, no script, nothing from elsewhere. */
export const page = (title: string, header: string, main: readonly string[], footer: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeXml(title)}: clip-es report</title>
<link rel="icon" href="data:,">
<style>${pageStyle}${reportStyle}</style>
</head>
<body>
${header}
<main>
${main.filter((part) => part !== '').join('\n')}
</main>
<footer>
${footer}
</footer>
</body>
</html>
`

/** The page about results that were evaluated. */
export function reportPage(report: Report): string {
  const { title, evaluation, best, worst } = report
  const main = [
    warnings(evaluation),
    table(evaluation),
    curves(report),
    examples('worst', 'Worst pictures', worst),
    examples('best', 'Best pictures', best),
    confusion(report),
    settings(report),
    failures(report),
  ]
  const footer = `<p>IoU: the overlap of mask and truth, divided by their union. Boundary IoU: the same for bands along their outlines (Cheng et al., 2021). The mIoU
of a picture is the mean over the labels of its truth and its mask.</p>
${madeBy(evaluation.version)}`
  return page(title, header(report), main, footer)
}

export const madeBy = (version: string): string =>
  `<p>Made with clip-es ${escapeXml(version)}, after <a href="https://arxiv.org/abs/2212.09506">CLIP is Also an Efficient
Segmenter</a>.</p>`
