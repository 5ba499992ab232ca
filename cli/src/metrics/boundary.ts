import { ignored } from 'clip-es'

/** Cheng et al. 2021, "Boundary IoU": 2 % of the picture's diagonal. */
export const boundaryRatio = 0.02

/** Half to even, as Python's round() in the published implementation. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value)
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value)
}

/** Width in pixels of the band along a boundary, at least one. */
export const boundaryWidth = (width: number, height: number, ratio: number): number =>
  Math.max(1, roundHalfEven(ratio * Math.hypot(width, height)))

/**
 * How far each pixel lies inside its label: 1 where one of its eight neighbours has another label or is outside the picture, and so on
 * (chessboard distance), up to `limit`. The two passes of the binary transform are exact for all labels at once, since a pixel of
 * another label has distance 0 whatever its label is.
 */
function depths(map: Uint8Array, width: number, height: number, limit: number): Uint16Array {
  const depth = new Uint16Array(map.length).fill(limit)
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (x === 0 || y === 0 || x === width - 1 || y === height - 1) {
        depth[i] = 1
        continue
      }
      nearer(map, depth, i, i - 1, i - width - 1, i - width, i - width + 1)
    }
  }
  for (let y = height - 2, i = (height - 1) * width - 1; y > 0; y--) {
    for (let x = width - 1; x >= 0; x--, i--) {
      if (x > 0 && x < width - 1) nearer(map, depth, i, i + 1, i + width + 1, i + width, i + width - 1)
    }
  }
  return depth
}

function nearer(map: Uint8Array, depth: Uint16Array, i: number, a: number, b: number, c: number, d: number): void {
  const own = map[i]
  const reached =
    1 +
    Math.min(
      map[a] === own ? (depth[a] as number) : 0,
      map[b] === own ? (depth[b] as number) : 0,
      map[c] === own ? (depth[c] as number) : 0,
      map[d] === own ? (depth[d] as number) : 0,
    )
  if (reached < (depth[i] as number)) depth[i] = reached
}

/**
 * Boundary IoU per label, pixels pooled over a data set: the IoU of the bands that lie inside each label along its boundary (and along
 * the picture's edge, as published). Pixels that the truth ignores are made ignored in both maps before the bands are drawn, so a mask
 * that equals the truth wherever it is known has boundary IoU 1.
 */
export class BoundaryCounts {
  readonly both: Float64Array
  readonly truth: Float64Array
  readonly found: Float64Array

  constructor(
    readonly size: number,
    readonly ratio = boundaryRatio,
  ) {
    this.both = new Float64Array(size)
    this.truth = new Float64Array(size)
    this.found = new Float64Array(size)
  }

  add(mask: Uint8Array, truth: Uint8Array, width: number, height: number): void {
    const band = boundaryWidth(width, height, this.ratio)
    const cut = mask.map((value, i) => (truth[i] === ignored ? ignored : value))
    const [inTruth, inMask] = [depths(truth, width, height, band + 1), depths(cut, width, height, band + 1)]
    for (let i = 0; i < truth.length; i++) {
      const [there, found] = [truth[i] as number, cut[i] as number]
      const [a, b] = [there !== ignored && (inTruth[i] as number) <= band, found !== ignored && (inMask[i] as number) <= band]
      if (a) this.truth[there] = (this.truth[there] as number) + 1
      if (b) this.found[found] = (this.found[found] as number) + 1
      if (a && b && there === found) this.both[there] = (this.both[there] as number) + 1
    }
  }

  /** Each label's boundary IoU, background first; NaN for a label that is nowhere. */
  ious(): number[] {
    return Array.from(this.both, (both, i) => both / ((this.truth[i] as number) + (this.found[i] as number) - both))
  }
}
