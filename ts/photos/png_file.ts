import { promisify } from 'node:util'
import { crc32, deflate, type ZlibOptions } from 'node:zlib'

// PNG files as sharp cannot write or read them: the chunks of the format (W3C PNG, section 5), and nothing of pixels.

export const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
export const colourType = { grey: 0, palette: 3 }
/** How the bytes of a row are written: as they are, or as differences from the pixel on the left. */
export const rowFilter = { none: 0, sub: 1 }

/** What IHDR says of a file. */
export interface PngHeader {
  width: number
  height: number
  bitDepth: number
  colour: number
  interlace?: number
}

export interface Chunk {
  type: string
  data: Uint8Array
}

export function encodeChunk({ type, data }: Chunk): Buffer {
  const out = Buffer.alloc(data.length + 12)
  out.writeUInt32BE(data.length, 0)
  out.write(type, 4, 'latin1')
  out.set(data, 8)
  out.writeUInt32BE(crc32(out.subarray(4, data.length + 8)), data.length + 8)
  return out
}

function headerChunk({ width, height, bitDepth, colour, interlace = 0 }: PngHeader): Chunk {
  const data = Buffer.alloc(13)
  data.writeUInt32BE(width, 0)
  data.writeUInt32BE(height, 4)
  data.set([bitDepth, colour, 0, 0, interlace], 8)
  return { type: 'IHDR', data }
}

/** A file of a header and what is between it and the end. */
export const pngFile = (header: PngHeader, chunks: readonly Chunk[]): Buffer =>
  Buffer.concat([signature, ...[headerChunk(header), ...chunks, { type: 'IEND', data: Buffer.alloc(0) }].map(encodeChunk)])

/** The pixels' chunk. `rows`: each begins with its filter. */
export async function pixelChunk(rows: Uint8Array, options: ZlibOptions): Promise<Chunk> {
  // In the default's pieces of 16 KB, a file of 270 KB takes a third longer: each is a turn of the thread pool and of the event loop.
  const chunkSize = Math.max(2 ** 14, Math.ceil(rows.length / 2))
  return { type: 'IDAT', data: await promisify<Uint8Array, ZlibOptions, Buffer>(deflate)(rows, { chunkSize, ...options }) }
}

/** The chunks of a file that begins with the signature, as far as they are whole. */
export function* readChunks(png: Buffer): Generator<{ type: string; data: Buffer }> {
  for (let at = signature.length; at + 12 <= png.length; ) {
    const length = png.readUInt32BE(at)
    yield { type: png.toString('latin1', at + 4, at + 8), data: png.subarray(at + 8, at + 8 + length) }
    at += length + 12
  }
}
