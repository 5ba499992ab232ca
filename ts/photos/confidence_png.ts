import { invalid } from '../core/errors.js'
import { markChunks } from './mark.js'
import { colourType, pixelChunk, pngFile, rowFilter } from './png_file.js'

const white = 65535

/**
 * Confidences as a grey PNG of 16 bits: value / 65535. Eight bits could not tell 0.950 from 0.953. Written here, because with sharp's row
 * filters the file is twice as large or takes twice as long.
 * @param confidence width * height numbers in [0, 1], as `result.confidence` has them
 * @throws ERR_INVALID_ARG for another number of them
 */
export async function encodeConfidence(confidence: Float32Array, width: number, height: number): Promise<Buffer> {
  if (confidence.length !== width * height)
    throw invalid(`encodeConfidence(): ${confidence.length} numbers; ${width} x ${height} needs ${width * height}`)
  const rows = Buffer.allocUnsafe((2 * width + 1) * height)
  for (let y = 0, from = 0, to = 0; y < height; y++) {
    rows[to++] = rowFilter.sub
    for (let x = 0, left = 0; x < width; x++) {
      const level = Math.floor(white * (confidence[from++] as number) + 0.5)
      rows[to++] = (level >>> 8) - (left >>> 8) // differences byte by byte, modulo 256
      rows[to++] = level - left
      left = level
    }
  }
  const pixels = await pixelChunk(rows, { level: 1 }) // higher ones take half as long again, for a tenth
  return pngFile({ width, height, bitDepth: 16, colour: colourType.grey }, [...markChunks('confidence'), pixels])
}
