import { checkInteger, show } from '../core/check.js'
import { invalid } from '../core/errors.js'
import type { LabelMap } from './mask_png.js'

// COCO's run-length code of a binary mask. Pixels are counted down the columns, from the left column to the right one. The counts
// alternate between pixels outside and pixels inside, and begin with those outside, of which there may be 0.

/** COCO's run-length code with its counts as numbers. Their sum is height * width. */
export interface CocoRle {
  /** Height and width in pixels, in this order. */
  size: [height: number, width: number]
  /** Pixels outside, inside, outside, …, down the columns. */
  counts: number[]
}

/** The same with its counts in a text, as COCO's result files and pycocotools have it. */
export interface CompressedCocoRle {
  /** Height and width in pixels, in this order. */
  size: [height: number, width: number]
  counts: string
}

/**
 * The pixels of one value in a mask, as COCO's run-length code.
 * @param mask values row by row, width * height of them, as `segment()` returns them and `readMask()` reads them
 * @param value 0 to 255; a class has its index plus one
 * @returns counts as numbers; `compressRle()` makes a text of them. A value that the mask does not have gives one count, of all pixels
 * @throws ERR_INVALID_ARG when the mask does not have width * height values, or for a value that a byte cannot hold
 */
export function encodeRle({ data, width, height }: LabelMap, value: number): CocoRle {
  checkInteger('encodeRle()', 'value', value, 0, 255)
  if (data.length !== width * height)
    throw invalid(`encodeRle(): a mask of ${data.length} values; ${width} x ${height} needs ${width * height}`)
  const counts: number[] = []
  let [inside, count] = [false, 0]
  for (let x = 0; x < width; x++)
    for (let at = x; at < data.length; at += width) {
      if ((data[at] === value) !== inside) {
        counts.push(count)
        count = 0
        inside = !inside
      }
      count++
    }
  counts.push(count)
  return { size: [height, width], counts }
}

/**
 * The pixels inside outlines along the edges of pixels, as COCO's run-length code. A pixel is inside when an odd number of outlines is
 * around it, so holes are given with the outlines around them.
 * @param rings x and y in pixels of each corner: whole numbers, x from 0 to width, y from 0 to height. Each side is horizontal or vertical
 * @param width of the mask in pixels
 * @param height of the mask in pixels
 * @throws ERR_INVALID_ARG for a corner outside of the mask, and for a side that is neither horizontal nor vertical
 */
export function encodeRings(rings: Iterable<readonly number[]>, width: number, height: number): CocoRle {
  // Where pixels change from outside to inside or back: once in each column under a horizontal side.
  const changes: number[] = []
  for (const ring of rings)
    for (let i = 0; i < ring.length; i += 2) {
      const [x0, y0] = [ring[i] as number, ring[i + 1] as number]
      const [x1, y1] = [ring[(i + 2) % ring.length] as number, ring[(i + 3) % ring.length] as number]
      checkCorner(x0, y0, width, height)
      if (x0 !== x1 && y0 !== y1)
        throw invalid(`encodeRings(): the side from ${x0}, ${y0} to ${x1}, ${y1} does not follow the edges of pixels`)
      for (let x = Math.min(x0, x1); x < Math.max(x0, x1); x++) changes.push(x * height + y0)
    }
  const counts: number[] = []
  let last = 0
  for (const change of oddOnes(Float64Array.from(changes).sort())) {
    counts.push(change - last)
    last = change
  }
  if (last < width * height || !counts.length) counts.push(width * height - last)
  return { size: [height, width], counts }
}

function checkCorner(x: number, y: number, width: number, height: number): void {
  if (Number.isInteger(x) && Number.isInteger(y) && x >= 0 && x <= width && y >= 0 && y <= height) return
  throw invalid(`encodeRings(): a ring has the corner ${x}, ${y}; expected whole numbers from 0, 0 to ${width}, ${height}`)
}

/** The numbers of a sorted list that are there an odd number of times: two changes at one place cancel each other. */
function* oddOnes(sorted: Float64Array): Generator<number> {
  for (let i = 0; i < sorted.length; ) {
    const value = sorted[i] as number
    const first = i
    while (sorted[i] === value) i++
    if ((i - first) % 2) yield value
  }
}

/**
 * The same run-length code with its counts in a text: each number in groups of five bits, a character a group, and from the fourth
 * on as the difference from the last but one.
 */
export function compressRle({ size, counts }: CocoRle): CompressedCocoRle {
  let text = ''
  for (const [i, count] of counts.entries()) {
    let rest = i > 2 ? count - (counts[i - 2] as number) : count
    for (let more = true; more; ) {
      const bits = rest & 31
      rest >>= 5
      // The last group's highest bit is the sign.
      more = bits & 16 ? rest !== -1 : rest !== 0
      text += String.fromCharCode(48 + bits + (more ? 32 : 0))
    }
  }
  return { size, counts: text }
}

/**
 * The same run-length code with its counts as numbers.
 * @throws ERR_INVALID_ARG for a text that is not made of such counts
 */
export function decompressRle({ size, counts: text }: CompressedCocoRle): CocoRle {
  const counts: number[] = []
  for (let at = 0; at < text.length; ) {
    let [value, shift, more] = [0, 0, true]
    while (more) {
      const group = text.charCodeAt(at++) - 48 // NaN after the end
      if (!(group >= 0 && group < 64) || shift > 30)
        throw invalid(
          `decompressRle(): the counts ${show(text)} are damaged at character ${at}; expected COCO's compressed counts`,
        )
      value |= (group & 31) << shift
      shift += 5
      more = (group & 32) !== 0
      if (!more && group & 16 && shift < 32) value |= -1 << shift
    }
    counts.push(counts.length > 2 ? value + (counts[counts.length - 2] as number) : value)
  }
  return { size, counts }
}

/**
 * The pixels of a run-length code.
 * @param rle counts as numbers or compressed
 * @returns a mask, row by row, with 1 inside and 0 outside
 * @throws ERR_INVALID_ARG when the counts are not whole numbers of 0 or more whose sum is height * width
 */
export function decodeRle(rle: CocoRle | CompressedCocoRle): LabelMap {
  const { size, counts } = typeof rle.counts === 'string' ? decompressRle(rle as CompressedCocoRle) : (rle as CocoRle)
  const [height, width] = size
  const odd = counts.find((count) => !(Number.isInteger(count) && count >= 0))
  if (odd !== undefined) throw invalid(`decodeRle(): a count is ${show(odd)}; expected whole numbers of 0 or more`)
  const sum = counts.reduce((total, count) => total + count, 0)
  if (sum !== width * height)
    throw invalid(`decodeRle(): the counts have ${sum} pixels; a mask of the size [${height}, ${width}] has ${width * height}`)
  const data = new Uint8Array(width * height)
  let at = 0
  for (const [i, count] of counts.entries()) {
    if (i % 2) for (let j = at; j < at + count; j++) data[(j % height) * width + Math.floor(j / height)] = 1
    at += count
  }
  return { data, width, height }
}
