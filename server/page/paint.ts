import type { Colour, LabelMap } from 'clip-es/photos'

/** An ImageData of a canvas. */
interface Picture {
  data: Uint8ClampedArray
  width: number
}

/** How a mask is drawn. */
export interface Look {
  /** By value of the mask; undefined is not drawn. */
  colours: readonly (Colour | undefined)[]
  /** The value whose label stands out, the others fade; 0 for none. */
  emphasised: number
  /** 0 to 1. */
  opacity: number
  /** Width in pixels of the picture; 0 for none. */
  outline: number
}

/**
 * A mask enlarged or reduced: each pixel has the value with the most weight among the four nearest ones, so that borders are smooth when they are
 * enlarged.
 */
export function resizeMask({ data, width, height }: LabelMap, toWidth: number, toHeight: number): Uint8Array {
  const result = new Uint8Array(toWidth * toHeight)
  for (let y = 0, at = 0; y < toHeight; y++) {
    const [top, bottom, lower] = neighbours(y, height / toHeight, height)
    for (let x = 0; x < toWidth; x++, at++) {
      const [left, right, further] = neighbours(x, width / toWidth, width)
      const corners = [
        data[top * width + left] as number,
        data[top * width + right] as number,
        data[bottom * width + left] as number,
        data[bottom * width + right] as number,
      ] as const
      result[at] = heaviest(corners, further, lower)
    }
  }
  return result
}

/** The two nearest pixels of a place along a side, and the weight of the second. */
function neighbours(to: number, scale: number, size: number): [first: number, second: number, weight: number] {
  const place = Math.max(0, (to + 0.5) * scale - 0.5)
  const first = Math.min(size - 1, Math.floor(place))
  return [first, Math.min(size - 1, first + 1), place - first]
}

type Corners = readonly [topLeft: number, topRight: number, bottomLeft: number, bottomRight: number]

function heaviest(corners: Corners, right: number, bottom: number): number {
  const [first] = corners
  if (first === corners[1] && first === corners[2] && first === corners[3]) return first
  const weights = [(1 - right) * (1 - bottom), right * (1 - bottom), (1 - right) * bottom, right * bottom]
  let best = first
  let most = 0
  for (const value of corners) {
    const weight = corners.reduce((sum, other, i) => (other === value ? sum + (weights[i] as number) : sum), 0)
    if (weight > most) {
      most = weight
      best = value
    }
  }
  return best
}

/** Draws a mask of the picture's size. Ignored pixels are hatched. */
export function paintMask(picture: Picture, values: Uint8Array, { colours, emphasised, opacity, outline }: Look): void {
  const { data, width } = picture
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number
    if (value === 0) continue
    if (value === 255) {
      const hatched = (Math.floor((i % width) + i / width) >> 2) & 1
      data.set([128, 128, 128, hatched ? 190 : 90], 4 * i)
      continue
    }
    const colour = colours[value]
    if (!colour) continue
    const faded = emphasised !== 0 && value !== emphasised
    const alpha = outline && isBorder(values, i, width, outline) ? 1 : opacity
    data.set(colour, 4 * i)
    data[4 * i + 3] = Math.round(255 * alpha * (faded ? 0.25 : 1))
  }
}

/** Whether another value is within `reach` pixels in a row or a column. The rim of the picture is not a border. */
function isBorder(values: Uint8Array, at: number, width: number, reach: number): boolean {
  const value = values[at]
  const x = at % width
  const differs = (other: number): boolean => values[other] !== undefined && values[other] !== value
  return (
    (x >= reach && differs(at - reach)) ||
    (x + reach < width && differs(at + reach)) ||
    differs(at - reach * width) ||
    differs(at + reach * width)
  )
}

/** Colours from 0 to 1: dark violet, red, orange, pale yellow. Each is lighter than the one before, so the order is seen without colour vision. */
const stops: readonly Colour[] = [
  [24, 15, 61],
  [107, 23, 110],
  [187, 55, 84],
  [249, 142, 9],
  [252, 255, 164],
]

function rampColour(level: number): Colour {
  const place = (level / 255) * (stops.length - 1)
  const first = Math.min(stops.length - 2, Math.floor(place))
  const [from, to] = [stops[first] as Colour, stops[first + 1] as Colour]
  const mix = (i: 0 | 1 | 2): number => Math.round(from[i] + (place - first) * (to[i] - from[i]))
  return [mix(0), mix(1), mix(2)]
}

const ramp: readonly Colour[] = Array.from({ length: 256 }, (_, level) => rampColour(level))

/** Recolours a grey picture. @param opacity 0 to 1 */
export function paintHeat(picture: Picture, opacity: number): void {
  const { data } = picture
  const alpha = Math.round(255 * opacity)
  for (let i = 0; i < data.length; i += 4) {
    data.set(ramp[data[i] as number] as Colour, i)
    data[i + 3] = alpha
  }
}
