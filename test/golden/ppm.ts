import { readFileSync } from 'node:fs'

/** Reads a binary .ppm photo. */
export function readPpm(file: string): { data: Uint8Array; width: number; height: number } {
  const bytes = readFileSync(file)
  const [, width, height] = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.toString('latin1', 0, 40)) ?? []
  const size = Number(width) * Number(height) * 3
  return { data: bytes.subarray(bytes.length - size), width: Number(width), height: Number(height) }
}

/** The largest absolute difference; NaN counts as infinite. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY
  let worst = 0
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs((a[i] as number) - (b[i] as number))
    if (!(difference <= worst)) worst = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference
  }
  return worst
}
