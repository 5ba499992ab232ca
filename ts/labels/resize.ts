import { setImmediate } from 'node:timers/promises'
import type { NativeImage } from '../engine/native.js'

/** How many numbers are multiplied before the event loop runs: a few milliseconds. */
const productsPerTurn = 4e6

/** Which source pixels make each target pixel, and their weights, which sum to 1. */
interface Taps {
  first: Int32Array
  /** target * count; unused ones are 0. */
  weights: Float64Array
  count: number
}

/** A triangle filter with half-pixel centres. When it reduces it is as wide as a target pixel, so no source pixel is skipped. */
export function triangleTaps(source: number, target: number): Taps {
  const scale = source / target
  const reach = Math.max(1, scale)
  const count = 2 * Math.ceil(reach) + 1
  const first = new Int32Array(target)
  const weights = new Float64Array(target * count)
  for (let t = 0; t < target; t++) {
    const centre = (t + 0.5) * scale
    const from = Math.max(0, Math.floor(centre - reach))
    first[t] = from
    let sum = 0
    for (let i = 0; i < count && from + i < source; i++) {
      const weight = Math.max(0, 1 - Math.abs(from + i + 0.5 - centre) / reach)
      weights[t * count + i] = weight
      sum += weight
    }
    for (let i = 0; i < count; i++) weights[t * count + i] = (weights[t * count + i] as number) / sum
  }
  return { first, weights, count }
}

/**
 * An image of another size, in slices between which the event loop runs. Its rows are packed; its channels stay as they are.
 * Rejects with the signal's reason.
 */
export async function resize(
  image: NativeImage,
  width: number,
  height: number,
  signal: AbortSignal | undefined,
): Promise<NativeImage> {
  const { channels } = image
  const rows = new Float32Array(image.height * width * channels)
  const across = triangleTaps(image.width, width)
  await inTurns(image.height, across.count * width * channels, signal, (y) => resizeRow(image, y, across, rows, width))
  const data = new Uint8Array(height * width * channels)
  const down = triangleTaps(image.height, height)
  const length = width * channels
  await inTurns(height, down.count * length, signal, (y) => mixRows(rows, image.height, down, y, data, length))
  return { ...image, data, width, height, rowBytes: length }
}

async function inTurns(
  rows: number,
  products: number,
  signal: AbortSignal | undefined,
  work: (row: number) => void,
): Promise<void> {
  const slice = Math.max(1, Math.floor(productsPerTurn / products))
  for (let row = 0; row < rows; row++) {
    if (row > 0 && row % slice === 0) {
      await setImmediate()
      signal?.throwIfAborted()
    }
    work(row)
  }
}

function resizeRow(
  { data, width, rowBytes, channels }: NativeImage,
  y: number,
  taps: Taps,
  out: Float32Array,
  target: number,
): void {
  const { first, weights, count } = taps
  for (let x = 0; x < target; x++)
    for (let channel = 0; channel < channels; channel++) {
      let sum = 0
      const from = first[x] as number
      for (let i = 0; i < count && from + i < width; i++)
        sum += (weights[x * count + i] as number) * (data[y * rowBytes + (from + i) * channels + channel] as number)
      out[(y * target + x) * channels + channel] = sum
    }
}

function mixRows(rows: Float32Array, height: number, taps: Taps, y: number, out: Uint8Array, length: number): void {
  const { first, weights, count } = taps
  const from = first[y] as number
  for (let at = 0; at < length; at++) {
    let sum = 0
    for (let i = 0; i < count && from + i < height; i++)
      sum += (weights[y * count + i] as number) * (rows[(from + i) * length + at] as number)
    out[y * length + at] = Math.round(sum)
  }
}
