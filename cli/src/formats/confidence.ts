import { colourType, markChunks, pixelChunk, pngFile, rowFilter } from 'clip-es/photos'
import { invalid } from 'clip-es/support'

const white = 65535

/**
 * Confidences in [0, 1] as a grey PNG of 16 bits: value / 65535. Eight bits could not tell 0.950 from 0.953. Written here and not by
 * sharp, for whose row filters it is twice as large or takes twice as long.
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
