import { types } from 'node:util'
import { checkInteger, checkMemory, checkNumber, wrong } from '../core/check.js'
import { invalid } from '../core/errors.js'
import type { ImageData, SharpImage } from '../core/types.js'
import type { NativeImage } from './native.js'

interface Layout {
  name: string
  channels: number
  blueFirst: boolean
}

const grey: Layout = { name: 'grey', channels: 1, blueFirst: false }
const rgb: Layout = { name: 'RGB', channels: 3, blueFirst: false }
const rgba: Layout = { name: 'RGBA', channels: 4, blueFirst: false }
const bgra: Layout = { name: 'BGRA', channels: 4, blueFirst: true }
const layouts = new Map<unknown, Layout>([
  ...([
    ['grey', grey],
    ['rgb', rgb],
    ['rgba', rgba],
    ['bgra', bgra],
  ] as const),
  ...([
    [1, grey],
    [3, rgb],
    [4, rgba],
  ] as const),
])
const largest = 2 ** 31 - 1

function layoutOf(call: string, channels: unknown): Layout {
  const layout = layouts.get(channels)
  if (layout) return layout
  const remedy = channels === 2 ? '; grey with alpha is not supported: remove the alpha, with sharp by removeAlpha()' : ''
  throw wrong(call, 'image.channels', channels, `'grey', 'rgb', 'rgba' or 'bgra', or 1, 3 or 4${remedy}`)
}

/** The layout of tightly packed pixels that do not say it. */
function layoutBySize(call: string, bytes: number, width: number, height: number): Layout {
  const known = [grey, rgb, rgba]
  const layout = known.find(({ channels }) => bytes === channels * width * height)
  if (layout) return layout
  const sizes = known.map(({ channels, name }) => `${channels * width * height} (${name})`)
  throw invalid(
    `${call}: image.data has ${bytes} bytes; ${width} x ${height} needs ${sizes.slice(0, 2).join(', ')} or ${sizes[2]}; give channels and rowBytes if the rows are padded`,
  )
}

function checkRows(call: string, bytes: number, width: number, height: number, layout: Layout, given: unknown): number {
  const { channels, name } = layout
  const packed = channels * width
  const rowBytes = given === undefined ? packed : checkInteger(call, 'image.rowBytes', given, packed, Math.max(packed, largest))
  const [least, most] = [rowBytes * (height - 1) + packed, rowBytes * height]
  if (bytes >= least && bytes <= most) return rowBytes
  const rows = rowBytes === packed ? '' : ` with rows of ${rowBytes} bytes`
  const expected = least === most ? `${most}` : `${most}, or ${least} without the padding of the last row`
  throw invalid(
    `${call}: image.data has ${bytes} bytes; ${width} x ${height} ${name}${rows} needs ${expected}; check width, height, channels and rowBytes`,
  )
}

/** An image as the add-on takes it, with its layout. Its pixels are not copied. Throws ERR_INVALID_ARG. */
export function checkImage(call: string, image: ImageData | SharpImage, maxPixels: number): NativeImage {
  if (typeof image !== 'object' || image === null) throw wrong(call, 'image', image, '{ data, width, height }')
  const { data, width, height, channels, rowBytes } = flatten(image)
  const checkedWidth = checkInteger(call, 'image.width', width, 1, largest)
  const checkedHeight = checkInteger(call, 'image.height', height, 1, largest)
  if (!(types.isUint8Array(data) || types.isUint8ClampedArray(data)))
    // of any realm: Jest and vm have arrays of their own
    throw wrong(
      call,
      'image.data',
      data,
      'a Uint8Array, Uint8ClampedArray or Buffer of pixels (decode files first, for example with sharp)',
    )
  checkMemory(call, 'image.data', data)
  const pixels = checkedWidth * checkedHeight
  checkNumber(call, `image of ${width} x ${height} pixels: their number`, pixels, 1, maxPixels)
  if (channels === undefined && rowBytes !== undefined)
    throw invalid(`${call}: image.rowBytes is ${rowBytes} without image.channels; say 'grey', 'rgb', 'rgba' or 'bgra'`)
  const layout = channels === undefined ? layoutBySize(call, data.length, checkedWidth, checkedHeight) : layoutOf(call, channels)
  return {
    data,
    width: checkedWidth,
    height: checkedHeight,
    channels: layout.channels,
    rowBytes: checkRows(call, data.length, checkedWidth, checkedHeight, layout, rowBytes),
    blueFirst: layout.blueFirst,
  }
}

/** Sharp puts size and channels into `info`. */
function flatten(image: ImageData | SharpImage): { [Name in keyof Required<ImageData>]: unknown } {
  const { data } = image
  if ('info' in image && typeof image.info === 'object' && image.info !== null && !('width' in image)) {
    const { width, height, channels } = image.info
    return { data, width, height, channels, rowBytes: undefined }
  }
  const { width, height, channels, rowBytes } = image as ImageData
  return { data, width, height, channels, rowBytes }
}
