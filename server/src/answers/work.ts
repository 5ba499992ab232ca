// What worker threads compute, by name: answers that take a while for a large photo. The event loop answers other requests in the meantime.
// Arguments and results are copied between the threads.
import type { LabelMap } from 'clip-es/photos'
import { type LabelStudioRegion, labelStudioRegions } from 'clip-es/support'
import { type CvatShape, cvatShapes, type ShapeOptions } from '../protocols/cvat/shapes.js'
import { type InferAnswer, inferAnswer } from '../protocols/kserve/answer.js'
import type { InferRequest } from '../protocols/kserve/request.js'
import type { Control } from '../protocols/label_studio/label_config.js'
import type { Format, Shapes } from '../request/schema.js'
import type { ServiceResult } from '../service/service.js'
import { type Answer, answerOf } from './answer.js'

/** A label of a mask: its name, its value in the mask, and how sure CLIP is of it. */
export interface MaskLabel {
  name: string
  value: number
  score: number
}

/** Only overlays need the pixels of the photo. */
export async function answer(asked: { result: ServiceResult; format: Format; shapes: Shapes }): Promise<Answer> {
  return await answerOf(asked.result, asked.format, asked.shapes)
}

/** CVAT's shapes, as JSON: a mask is a list with a number for each pixel. */
export function cvat({ mask, labels, options }: { mask: LabelMap; labels: MaskLabel[]; options: ShapeOptions }): string {
  const shapes = labels.flatMap(({ name, value, score }): CvatShape[] =>
    cvatShapes(mask, value, { label: name, confidence: String(Number(score.toFixed(4))) }, options),
  )
  return JSON.stringify(shapes)
}

export function infer({
  result,
  request,
}: {
  result: ServiceResult
  request: Pick<InferRequest, 'id' | 'outputs'>
}): InferAnswer {
  return inferAnswer(result, request)
}

export function regions({
  mask,
  labels,
  tool,
}: {
  mask: LabelMap
  labels: MaskLabel[]
  tool: Control['tool']
}): LabelStudioRegion[] {
  return labels.flatMap((label) => labelStudioRegions(mask, label, tool))
}
