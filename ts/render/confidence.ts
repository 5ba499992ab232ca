import sharp from 'sharp'
import { invalid } from '../errors.js'

const white = 65535

/** Confidences in [0, 1] as a grey PNG of 16 bits: value / 65535. Eight bits could not tell 0.950 from 0.953. */
export async function encodeConfidence(confidence: Float32Array, width: number, height: number): Promise<Buffer> {
  if (confidence.length !== width * height)
    throw invalid(`encodeConfidence(): ${confidence.length} numbers; ${width} x ${height} needs ${width * height}`)
  const levels = Uint16Array.from(confidence, (value) => Math.round(white * value))
  return await sharp(levels, { raw: { width, height, channels: 1 } })
    .toColourspace('grey16')
    .png()
    .toBuffer()
}
