import { invalid } from '../errors.js'
import { ignored } from '../mask.js'
import type { ImageData } from '../types.js'
import { type LegendEntry, legend } from './legend.js'
import { withMark } from './mark.js'
import { type Colour, vocColour } from './palette.js'
import { loadSharp } from './sharp.js'

/** A label to draw: its value in the mask, and what the legend says of it. */
export interface OverlayLabel extends LegendEntry {
  value: number
}

export interface OverlayOptions {
  /** Whole factor by which photo and mask are enlarged. Default: what makes the picture at least 640 pixels wide. */
  scale?: number
  /** A strip below with colours, names and probabilities. Default true. */
  legend?: boolean
}

const fill = 0.55 // share of the colour inside a mask
const dim = 0.62 // how much the photo darkens elsewhere
const greyShare = 0.7 // how much of the photo's own colour goes: a red apple under blue would be purple
const surroundings: Colour = [14, 17, 22]
const ignoredColour: Colour = [235, 238, 245]

/**
 * The photo dimmed, what was found in colour and outlined, and a legend below: a PNG.
 * @param mask height * width: 0 background, 255 ignored (drawn pale)
 */
export async function renderOverlay(
  image: ImageData,
  mask: Uint8Array,
  labels: readonly OverlayLabel[],
  options: OverlayOptions = {},
): Promise<Buffer> {
  const { scale = Math.max(1, Math.ceil(640 / image.width)), legend: withLegend = true } = options
  if (mask.length !== image.width * image.height)
    throw invalid(
      `renderOverlay(): a mask of ${mask.length} pixels; ${image.width} x ${image.height} needs ${image.width * image.height}`,
    )
  if (!Number.isInteger(scale) || scale < 1) throw invalid(`renderOverlay(): scale is ${scale}; it must be a whole number from 1`)
  const [width, height] = [image.width * scale, image.height * scale]
  const photo = await enlarge(image, width, height)
  paint(photo, enlargeLabels(mask, image.width, image.height, scale), width, height, coloursOf(labels))
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
function enlarge({ data, width, height }: ImageData, toWidth: number, toHeight: number): Promise<Buffer> {
  const channels = data.length / (width * height)
  if (channels !== 1 && channels !== 3 && channels !== 4)
    throw invalid(`renderOverlay(): image.data has ${data.length} bytes; ${width} x ${height} needs 1, 3 or 4 a pixel`)
  // sharp's removeAlpha() comes after its resize, which would weigh the colours by alpha.
  const opaque = channels === 4 ? data.filter((_, i) => i % 4 !== 3) : data
  return loadSharp()(Buffer.from(opaque.buffer, opaque.byteOffset, opaque.byteLength), {
    raw: { width, height, channels: channels === 1 ? 1 : 3 },
  })
    .toColourspace('srgb')
    .resize(toWidth, toHeight, { kernel: 'cubic', fit: 'fill' })
    .raw()
    .toBuffer()
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
