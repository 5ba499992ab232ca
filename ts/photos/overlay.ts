import { checkBoolean, checkInteger, checkOptions } from '../core/check.js'
import { ignored } from '../core/defaults.js'
import { invalid } from '../core/errors.js'
import type { ImageData, SharpImage } from '../core/types.js'
import { checkImage } from '../engine/image.js'
import type { NativeImage } from '../engine/native.js'
import { type LegendEntry, legend } from './legend.js'
import { withMark } from './mark.js'
import { type Colour, vocColour } from './palette.js'
import { loadSharp } from './sharp.js'

/** A label to draw: its value in the mask, its colour, and what the legend says about it. */
export interface OverlayLabel extends LegendEntry {
  value: number
}

export interface OverlayOptions {
  /** A whole number by which photo and mask are enlarged. Default: the smallest that makes the picture at least 640 pixels wide. */
  scale?: number
  /** A strip below with colours, names and probabilities. Default true. */
  legend?: boolean
}

const call = 'drawOverlay()'
const mostScale = 1000
const fill = 0.55 // share of the colour inside a mask
const dim = 0.62 // how much the photo darkens elsewhere
const greyShare = 0.7 // how much of the photo's own colour goes: a red apple under blue would be purple
const surroundings: Colour = [14, 17, 22]
const ignoredColour: Colour = [235, 238, 245]

/**
 * Draws a mask over its photo: the photo is dimmed, what was found is coloured and outlined, and a legend is added below.
 * @param image as `segment` takes it
 * @param mask width * height values: 0 background, 255 ignored (drawn pale), others a label's `value`
 * @param labels what the legend names, in this order. Values without a label have VOC's colours.
 * @returns a PNG file
 * @throws ERR_INVALID_ARG for an image, mask or options that do not fit. ERR_IO if sharp is not installed.
 */
export async function drawOverlay(
  image: ImageData | SharpImage,
  mask: Uint8Array,
  labels: readonly OverlayLabel[],
  options?: OverlayOptions,
): Promise<Buffer> {
  const pixels = checkImage(call, image, Number.POSITIVE_INFINITY)
  const given = checkOptions<OverlayOptions>(call, options, ['scale', 'legend'])
  const scale = checkInteger(call, 'scale', given.scale ?? Math.max(1, Math.ceil(640 / pixels.width)), 1, mostScale)
  const withLegend = checkBoolean(call, 'legend', given.legend ?? true)
  if (mask.length !== pixels.width * pixels.height)
    throw invalid(
      `${call}: the mask has ${mask.length} values; ${pixels.width} x ${pixels.height} needs ${pixels.width * pixels.height}`,
    )
  const [width, height] = [pixels.width * scale, pixels.height * scale]
  const photo = await enlarge(pixels, width, height)
  paint(photo, enlargeLabels(mask, pixels.width, pixels.height, scale), width, height, coloursOf(labels))
  const parts = [photo]
  let total = height
  if (withLegend && labels.length) {
    const strip = legend(labels, width)
    parts.push(
      await loadSharp()(Buffer.from(strip.svg)).resize(width, strip.height, { fit: 'fill' }).removeAlpha().raw().toBuffer(),
    )
    total += strip.height
  }
  const png = await loadSharp()(Buffer.concat(parts), { raw: { width, height: total, channels: 3 } })
    .png({ compressionLevel: 9 })
    .toBuffer()
  return withMark(png, 'overlay')
}

/** The photo's pixels as RGB at another size. */
function enlarge(image: NativeImage, toWidth: number, toHeight: number): Promise<Buffer> {
  const { width, height } = image
  return loadSharp()(packedRgb(image), { raw: { width, height, channels: 3 } })
    .resize(toWidth, toHeight, { kernel: 'cubic', fit: 'fill' })
    .raw()
    .toBuffer()
}

function packedRgb({ data, width, height, channels, rowBytes, blueFirst }: NativeImage): Buffer {
  const [red, green, blue] = channels === 1 ? [0, 0, 0] : blueFirst ? [2, 1, 0] : [0, 1, 2]
  const rgb = Buffer.allocUnsafe(3 * width * height)
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0, from = y * rowBytes; x < width; x++, from += channels) {
      rgb[to++] = data[from + red] as number
      rgb[to++] = data[from + green] as number
      rgb[to++] = data[from + blue] as number
    }
  }
  return rgb
}

function enlargeLabels(mask: Uint8Array, width: number, height: number, scale: number): Uint8Array {
  if (scale === 1) return mask
  const out = new Uint8Array(width * height * scale * scale)
  const stride = width * scale
  for (let y = 0; y < height; y++) {
    const row = y * scale * stride
    for (let x = 0; x < width; x++) out.fill(mask[y * width + x] as number, row + x * scale, row + (x + 1) * scale)
    for (let copy = 1; copy < scale; copy++) out.copyWithin(row + copy * stride, row, row + stride)
  }
  return out
}

function coloursOf(labels: readonly OverlayLabel[]): Colour[] {
  const colours = Array.from({ length: 256 }, (_, value) => vocColour(value))
  colours[ignored] = ignoredColour
  for (const { value, colour } of labels) colours[value] = colour
  return colours
}

/** How many pixels each one lies inside its label, up to `limit`: 1 at a border with another label. The picture's edge is none. */
function depths(mask: Uint8Array, width: number, height: number, limit: number): Uint8Array {
  const depth = new Uint8Array(mask.length).fill(limit)
  const near = (i: number, j: number): void => {
    const reached = mask[j] === mask[i] ? (depth[j] as number) + 1 : 1
    if (reached < (depth[i] as number)) depth[i] = reached
  }
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (x > 0) near(i, i - 1)
      if (y > 0) near(i, i - width)
    }
  }
  for (let y = height - 1, i = mask.length - 1; y >= 0; y--) {
    for (let x = width - 1; x >= 0; x--, i--) {
      if (x < width - 1) near(i, i + 1)
      if (y < height - 1) near(i, i + width)
    }
  }
  return depth
}

/** Colours the photo (RGB) in place. */
function paint(photo: Uint8Array, mask: Uint8Array, width: number, height: number, colours: readonly Colour[]): void {
  const line = Math.max(2, Math.round(Math.max(width, height) / 220))
  const depth = depths(mask, width, height, line + 1)
  for (let i = 0; i < mask.length; i++) {
    const value = mask[i] as number
    const at = i * 3
    const [r, g, b] = [photo[at] as number, photo[at + 1] as number, photo[at + 2] as number]
    const grey = greyShare * (0.299 * r + 0.587 * g + 0.114 * b)
    const colour = value === 0 ? surroundings : (colours[value] as Colour)
    const share = value === 0 ? dim : (depth[i] as number) <= line ? 1 : fill
    for (let c = 0; c < 3; c++) {
      const plain = grey + (1 - greyShare) * (photo[at + c] as number)
      photo[at + c] = plain * (1 - share) + (colour[c] as number) * share
    }
  }
}
