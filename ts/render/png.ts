import { promisify } from 'node:util'
import { deflate } from 'node:zlib'
import sharp from 'sharp'
import { invalid } from '../errors.js'

// sharp has no way to write or read the indices of a palette image: its palette option chooses colours anew, and reading expands
// them. So masks are written here, and read by giving libpng a palette in which every index is its own colour.

/** A label for every pixel, row by row. */
export interface LabelMap {
  data: Uint8Array
  width: number
  height: number
}

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
const colourType = { grey: 0, palette: 3 }

const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1
  return c
})

function crc32(bytes: Uint8Array): number {
  let c = 0xffffffff
  for (const byte of bytes) c = (crcTable[(c ^ byte) & 255] as number) ^ (c >>> 8)
  return ~c >>> 0
}

function chunk(type: string, data: Uint8Array): Buffer {
  const out = Buffer.alloc(data.length + 12)
  out.writeUInt32BE(data.length, 0)
  out.write(type, 4, 'latin1')
  out.set(data, 8)
  out.writeUInt32BE(crc32(out.subarray(4, data.length + 8)), data.length + 8)
  return out
}

function header(width: number, height: number, bitDepth: number, colour: number, interlace = 0): Buffer {
  const data = Buffer.alloc(13)
  data.writeUInt32BE(width, 0)
  data.writeUInt32BE(height, 4)
  data.set([bitDepth, colour, 0, 0, interlace], 8)
  return chunk('IHDR', data)
}

/**
 * A palette PNG whose indices are exactly the labels.
 * @param palette 256 * 3 bytes, as `maskPalette` makes it
 */
export async function encodeLabels({ data, width, height }: LabelMap, palette: Uint8Array): Promise<Buffer> {
  if (data.length !== width * height)
    throw invalid(`encodeLabels(): ${data.length} labels; ${width} x ${height} needs ${width * height}`)
  if (palette.length !== 256 * 3)
    throw invalid(`encodeLabels(): a palette of ${palette.length} bytes; it needs 768 (256 colours)`)
  // Every row begins with its filter: none. Labels lie in runs, which filters only break up.
  const rows = Buffer.alloc((width + 1) * height)
  for (let y = 0; y < height; y++) rows.set(data.subarray(y * width, (y + 1) * width), y * (width + 1) + 1)
  const compressed = await promisify(deflate)(rows, { level: 6 }) // 9 takes five times as long, for a kilobyte
  return Buffer.concat([
    signature,
    header(width, height, 8, colourType.palette),
    chunk('PLTE', palette),
    chunk('IDAT', compressed),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

interface Chunk {
  type: string
  data: Buffer
}

function* chunks(png: Buffer): Generator<Chunk> {
  for (let at = signature.length; at + 12 <= png.length; ) {
    const length = png.readUInt32BE(at)
    yield { type: png.toString('latin1', at + 4, at + 8), data: png.subarray(at + 8, at + 8 + length) }
    at += length + 12
  }
}

/** The labels of a palette or grey PNG of up to 8 bits a pixel: its indices, or its grey levels as they are stored. */
export async function decodeLabels(file: Uint8Array): Promise<LabelMap> {
  const png = Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  if (!png.subarray(0, 8).equals(signature)) throw invalid('a label map must be a PNG file; this is none')
  const [first, ...rest] = chunks(png)
  if (first?.type !== 'IHDR' || first.data.length !== 13)
    throw invalid('the PNG file of the label map is damaged: it has no header')
  const [width, height] = [first.data.readUInt32BE(0), first.data.readUInt32BE(4)]
  const [depth, colour, , , interlace] = first.data.subarray(8) as unknown as [number, number, number, number, number]
  if ((colour !== colourType.grey && colour !== colourType.palette) || depth > 8)
    throw invalid(`a label map must be a palette or grey PNG of up to 8 bits; this one has colour type ${colour}, ${depth} bits`)
  // Grey is read as a palette image too: at 1, 2 and 4 bits libpng would stretch the levels to 0..255.
  const identity = Uint8Array.from({ length: 2 ** depth * 3 }, (_, i) => Math.floor(i / 3))
  const pixels = rest.filter(({ type }) => type === 'IDAT').map(({ data }) => chunk('IDAT', data))
  const plain = Buffer.concat([
    signature,
    header(width, height, depth, colourType.palette, interlace),
    chunk('PLTE', identity),
    ...pixels,
    chunk('IEND', Buffer.alloc(0)),
  ])
  const { data, info } = await sharp(plain)
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch((error: Error) => {
      throw invalid(`the PNG file of the label map is damaged: ${error.message}`)
    })
  const labels = new Uint8Array(width * height)
  for (let i = 0; i < labels.length; i++) labels[i] = data[i * info.channels] as number
  return { data: labels, width, height }
}
