// The tables in Markdown, as docs/training.md has them.
import { heldOut } from './data.mjs'
import { variants } from './runs.mjs'

const titles = { new: 'styles of the training', 'held-out': 'another style' }

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length

/** '41.2 (40.1, 41.0, 42.5)': the mean, and the seeds. */
const seeds = (values) => `${mean(values).toFixed(1)} (${values.map((value) => value.toFixed(1)).join(', ')})`

const row = (cells) => `| ${cells.join(' | ')} |`

/** @param pseudo mIoU of the pseudo masks by set. @param results figures of the runs */
export function miouTable(pseudo, results) {
  const lines = variants.flatMap(({ name, title }) => {
    const of = results.filter(({ variant }) => variant === name).sort((a, b) => a.seed - b.seed)
    return of.length ? [row([`network: ${title}`, ...heldOut.map((set) => seeds(of.map(({ miou }) => miou[set])))])] : []
  })
  return [
    row(['mIoU (%) of held-out scenes', ...heldOut.map((set) => titles[set])]),
    row(['---', ...heldOut.map(() => '---')]),
    row(['pseudo masks (labels given)', ...heldOut.map((set) => pseudo[set].toFixed(1))]),
    ...lines,
  ].join('\n')
}

const percent = (share) => `${(100 * share).toFixed(1)} %`

/** @param kept what keptPixels() found */
export function pixelTable(kept) {
  const lines = kept.map(({ threshold, kept: share, right, objects, lost }) =>
    row([
      threshold === 0 ? 'all pixels' : `at least ${threshold}`,
      percent(share),
      percent(right),
      percent(objects),
      percent(lost),
    ]),
  )
  return [
    row(['confidence', 'pixels kept', 'of these right', "objects' pixels kept", 'of these labelled background']),
    row(['---', '---', '---', '---', '---']),
    ...lines,
  ].join('\n')
}
