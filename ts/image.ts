import { types } from 'node:util'
import { checkInteger, checkMemory, checkNumber, wrong } from './check.js'
import { invalid } from './errors.js'
import type { NativeImage } from './native.js'
import type { ImageData } from './types.js'

const layouts = [
  [1, 'grey'],
  [3, 'RGB'],
  [4, 'RGBA'],
] as const

/** An image as the add-on takes it, its channels inferred. Throws ERR_INVALID_ARG. */
export function checkImage(call: string, image: ImageData, maxPixels: number): NativeImage {
  if (typeof image !== 'object' || image === null) throw wrong(call, 'image', image, '{ data, width, height }')
  const { data } = image
  const largest = 2 ** 31 - 1
  const width = checkInteger(call, 'image.width', image.width, 1, largest)
  const height = checkInteger(call, 'image.height', image.height, 1, largest)
  if (!(types.isUint8Array(data) || types.isUint8ClampedArray(data)))
    // of any realm: Jest and vm have arrays of their own
    throw wrong(
      call,
      'image.data',
      data,
      'a Uint8Array, Uint8ClampedArray or Buffer of pixels (decode files first, for example with sharp)',
    )
  checkMemory(call, 'image.data', data)
  const pixels = checkNumber(call, `image of ${width} x ${height} pixels: their number`, width * height, 1, maxPixels)
  const layout = layouts.find(([channels]) => data.length === channels * pixels)
  if (layout) return { data, width, height, channels: layout[0] }
  const sizes = layouts.map(([channels, name]) => `${channels * pixels} (${name})`)
  throw invalid(
    `${call}: image.data has ${data.length} bytes; ${width} x ${height} needs ${sizes.slice(0, 2).join(', ')} or ${sizes[2]}`,
  )
}
