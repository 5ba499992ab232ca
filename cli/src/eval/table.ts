import { type RuleScore, ruleName } from '../metrics/cam_rule.js'
import { counted } from '../shared/wording.js'
import type { Evaluation } from './evaluation.js'
import { takenPixels } from './taken.js'

const mostTaken = 5

const hundredths = (figure: number | null): string => (figure === null ? '–' : (100 * figure).toFixed(2))

const row = (name: string, figures: readonly string[], width: number): string =>
  name.padEnd(width) + figures.map((figure) => figure.padStart(11)).join('')

/** A line for each label that is in any truth or mask, and the means below. */
export function evalTable(evaluation: Evaluation): string {
  const labels = evaluation.labels.filter(({ iou }) => iou !== null)
  const width = Math.max(16, ...labels.map(({ name }) => name.length + 2))
  const { rule, miou, boundaryMiou, pixelAccuracy, ignored, truthIgnored, images, results, truth, list } = evaluation
  return [
    ...(rule ? [ruleName(rule)] : []),
    row('%', ['IoU', 'boundary', 'precision', 'recall'], width),
    ...labels.map(({ name, ...of }) => row(name, [of.iou, of.boundaryIou, of.precision, of.recall].map(hundredths), width)),
    row('mean', [miou, boundaryMiou].map(hundredths), width),
    `pixel accuracy ${hundredths(pixelAccuracy)} %, ${counted(images, 'picture')}, ${counted(labels.length, 'label')}${
      ignored ? `, ${hundredths(ignored)} % of the pixels ignored by the masks` : ''
    }${truthIgnored ? `, ${hundredths(truthIgnored)} % ignored by the truth` : ''}`,
    `Results: ${results}`,
    `Truth:   ${truth}`,
    `Photos:  ${list}`,
  ].join('\n')
}

/** The words that take most pixels from others, or '' if none does. */
export function takenTable(evaluation: Pick<Evaluation, 'labels' | 'confusion'>): string {
  const taken = takenPixels(evaluation).slice(0, mostTaken)
  return taken.map(({ from, by, share }) => `${by} took ${hundredths(share)} % of ${from}`).join('\n')
}

/** The best rules of a search. */
export function searchTable(scores: readonly RuleScore[]): string {
  const best = scores.slice(0, 5)
  const width = 2 + Math.max(...best.map(({ rule }) => ruleName(rule).length))
  return [
    row(`best of ${scores.length}, %`, ['mIoU', 'accuracy'], width),
    ...best.map(({ rule, miou, pixelAccuracy }) => row(ruleName(rule), [miou, pixelAccuracy].map(hundredths), width)),
  ].join('\n')
}
