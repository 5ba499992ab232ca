import { counted } from '../shared/wording.js'
import type { Measure, Ranking } from './rank.js'

const longest = 20 // characters of the longest bar

/** A bar in eighths of a character. */
export function textBar(share: number): string {
  const eighths = Math.round(8 * longest * share)
  return '█'.repeat(Math.floor(eighths / 8)) + ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8]
}

/** Four digits, whatever the size. */
const figure = (value: number): string => (value >= 0.001 || value === 0 ? value.toFixed(5) : value.toExponential(2))

/** A line for each candidate, the best first, and a heading for each class. */
export function rankingTable(rankings: readonly Ranking[]): string {
  const most = Math.max(...rankings.flatMap(({ candidates }) => candidates.map(({ mean }) => mean)))
  return rankings
    .flatMap(({ class: name, candidates }) => [
      ...(name === undefined ? [] : [`${name}, over ${counted(candidates[0]?.photos ?? 0, 'photo')}`]),
      ...candidates.map(({ mean, probability, name: candidate }, place) =>
        [
          String(place + 1).padStart(4),
          figure(mean).padStart(10),
          textBar(most ? mean / most : 0).padEnd(longest),
          figure(probability).padStart(10),
          candidate,
        ].join('  '),
      ),
    ])
    .join('\n')
}

export const tableHead = (by: Measure): string =>
  ['   #', by.padStart(10), ''.padEnd(longest), 'mean score', ''].join('  ').trimEnd()
