import { defaults } from 'clip-es'
import { type Calibration, type Counts, qualityOf, sumCounts } from './thresholds.js'

const percent = (value: number | null): string => (value === null ? '–' : (100 * value).toFixed(1))

const figures = (counts: Counts): string[] => {
  const { precision, recall, f1 } = qualityOf(counts)
  return [precision, recall, f1].map(percent)
}

const row = (name: string, width: number, cells: readonly string[]): string =>
  name.padEnd(width) + cells.map((cell) => cell.padStart(11)).join('')

/** A line for each class that is in a photo or was found in one, and one for all classes together. */
export function thresholdTable(names: readonly string[], calibrations: readonly Calibration[]): string {
  const all = 'all classes'
  const width = Math.max(all.length, ...names.map((name) => name.length)) + 2
  const quality = ['precision', 'recall', 'F1']
  const rows = calibrations.flatMap(({ threshold, atDefault, leftOut }, c) => {
    if (atDefault.there + atDefault.found + leftOut.found === 0) return []
    const cells = [String(atDefault.there), ...figures(atDefault), threshold?.toFixed(2) ?? 'default', ...figures(leftOut)]
    return [row(names[c] as string, width, cells)]
  })
  const [before, after] = [sumCounts(calibrations.map((c) => c.atDefault)), sumCounts(calibrations.map((c) => c.leftOut))]
  return [
    row('%', width, ['photos', `at ${defaults.labelThreshold}:`, '', '', 'own:', '', '', '']),
    row('', width, ['', ...quality, 'threshold', ...quality]),
    ...rows,
    row(all, width, [String(before.there), ...figures(before), '', ...figures(after)]),
  ].join('\n')
}
