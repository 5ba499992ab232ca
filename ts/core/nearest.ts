/**
 * The known word that `word` was most likely meant to be, for error messages; undefined when none is like it: at most a
 * third of the letters may be wrong (Damerau-Levenshtein distance: added, missing, changed, or swapped with a neighbour).
 */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = Number.POSITIVE_INFINITY
  for (const candidate of known) {
    const longer = Math.max(word.length, candidate.length)
    const d = distance(word.toLowerCase(), candidate.toLowerCase())
    if (d < least && d < longer && d <= Math.max(1, longer / 3)) {
      best = candidate
      least = d
    }
  }
  return best
}

function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  const at = (i: number, j: number): number => (rows[i] as number[])[j] as number
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    rows.push(row)
    for (let j = 1; j <= b.length; j++) {
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row.push(
        Math.min(
          at(i - 1, j) + 1,
          at(i, j - 1) + 1,
          at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1),
          swapped ? at(i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      )
    }
  }
  return at(a.length, b.length)
}
