import type { CompressedCocoRle } from 'clip-es/photos'
import sharp from 'sharp'
import type { Shapes } from '../request/schema.js'
import type { ServiceResult } from '../service/service.js'
import { type LabelAnswer, labelsOf } from './labels.js'

/** The JSON answer of a request that segments. */
export interface SegmentAnswer {
  width: number
  height: number
  labels: (LabelAnswer & { cam?: string })[]
  /** Pixels. */
  background: number
  ignored: number
  ignoredRle?: CompressedCocoRle
  /** An 8-bit grey PNG, base64. */
  confidence?: string
  /** Milliseconds of each stage. */
  timings: ServiceResult['timings']
  warnings: string[]
}

/** Numbers in [0, 1] as an 8-bit grey PNG, base64. */
async function greyPng(values: Float32Array, width: number, height: number): Promise<string> {
  const levels = Buffer.allocUnsafe(values.length)
  for (let i = 0; i < levels.length; i++) levels[i] = Math.round(255 * (values[i] as number))
  const png = await sharp(levels, { raw: { width, height, channels: 1 } })
    .toColourspace('b-w')
    .png({ compressionLevel: 6 })
    .toBuffer()
  return png.toString('base64')
}

export async function jsonAnswer(result: ServiceResult, shapes: Shapes): Promise<SegmentAnswer> {
  const { width, height, cams, confidence, timings, warnings } = result
  const { labels, ...rest } = labelsOf(result, shapes)
  const pixels = width * height
  const withCams = await Promise.all(
    labels.map(async (label, i) =>
      cams ? { ...label, cam: await greyPng(cams.subarray(i * pixels, (i + 1) * pixels), width, height) } : label,
    ),
  )
  return {
    ...{ width, height, labels: withCams, ...rest },
    ...(confidence && { confidence: await greyPng(confidence, width, height) }),
    ...{ timings, warnings },
  }
}
