import { short } from '../core/short.js'
import { joinHoles } from '../photos/join_holes.js'
import type { LabelMap } from '../photos/mask_png.js'
import { type Region, traceRegions } from '../photos/polygons.js'
import { decodeRle, encodeRings } from '../photos/rle.js'
import { encodeBrush } from './brush_rle.js'

// Predictions as Label Studio takes them, in files and from its ML backends.

/** A tool of Label Studio and its control tag. */
export interface LabelStudioTool {
  /** 'brush': a mask, exactly the pixels. 'polygon': a polygon for each region, whose holes are joined to it by bridges. 'rectangle': the box. */
  tool: 'brush' | 'polygon' | 'rectangle'
  /** A brush mask or rectangle for each connected region, not for each label. Polygons always have one region each. */
  regions: boolean
  fromName: string
  toName: string
}

/** A label of a mask. */
export interface LabelStudioLabel {
  name: string
  /** Its value in the mask. */
  value: number
  score?: number
}

/** A labelled part of a photo. */
export interface LabelStudioRegion {
  type: 'brushlabels' | 'polygonlabels' | 'rectanglelabels'
  from_name: string
  to_name: string
  original_width: number
  original_height: number
  image_rotation: 0
  value: Record<string, unknown>
  score?: number
}

/** What is predicted for a task. */
export interface LabelStudioPrediction {
  model_version: string
  score?: number
  result: (LabelStudioRegion & { id: string })[]
}

/** A prediction. Its score is the mean of its labels'. */
export function labelStudioPrediction(regions: readonly LabelStudioRegion[], modelVersion: string): LabelStudioPrediction {
  const known = new Map<unknown, number>()
  for (const { type, value, score } of regions) if (score !== undefined) known.set(JSON.stringify(value[type]), score)
  const mean = [...known.values()].reduce((sum, score) => sum + score, 0) / known.size
  return {
    model_version: modelVersion,
    ...(known.size ? { score: short(mean) } : {}),
    result: regions.map((region, i) => ({ id: String(i + 1), ...region })),
  }
}

/** The parts of a mask that have a label; none if it has no pixels. */
export function labelStudioRegions(
  mask: LabelMap,
  { name, value, score }: LabelStudioLabel,
  tool: LabelStudioTool,
): LabelStudioRegion[] {
  return shapesOf(mask, value, tool).map(({ type, ...shape }) => ({
    type,
    from_name: tool.fromName,
    to_name: tool.toName,
    original_width: mask.width,
    original_height: mask.height,
    image_rotation: 0,
    value: { ...shape, [type]: [name] },
    ...(score === undefined ? {} : { score: short(score) }),
  }))
}

type Shape = { type: LabelStudioRegion['type'] } & Record<string, unknown>

function shapesOf(mask: LabelMap, value: number, { tool, regions: each }: LabelStudioTool): Shape[] {
  const { data, width, height } = mask
  if (tool === 'brush' && !each) return data.includes(value) ? [brush(data.map((other) => (other === value ? 1 : 0)))] : []
  const regions = traceRegions(mask, value)
  if (tool === 'polygon') return regions.map((region) => polygon(region, width, height))
  if (tool === 'rectangle') {
    const rings = regions.map(({ outer }) => outer)
    return (each || !rings.length ? rings : [rings.flat()]).map((ring) => rectangle(ring, width, height))
  }
  return regions.map(({ outer, holes }) => brush(decodeRle(encodeRings([outer, ...holes], width, height)).data))
}

const brush = (inside: Uint8Array): Shape => ({ type: 'brushlabels', format: 'rle', rle: encodeBrush(inside) })

/** Positions are in percent of the width and of the height. */
const percent = (at: number, of: number): number => Number(((100 * at) / of).toFixed(6))

function polygon(region: Region, width: number, height: number): Shape {
  const ring = joinHoles(region)
  const points = Array.from({ length: ring.length / 2 }, (_, i) => [
    percent(ring[2 * i] as number, width),
    percent(ring[2 * i + 1] as number, height),
  ])
  return { type: 'polygonlabels', points, closed: true }
}

/** The box around corners. */
function rectangle(corners: readonly number[], width: number, height: number): Shape {
  let [left, top, right, bottom] = [width, height, 0, 0]
  for (let i = 0; i < corners.length; i += 2) {
    const [x, y] = [corners[i] as number, corners[i + 1] as number]
    left = Math.min(left, x)
    right = Math.max(right, x)
    top = Math.min(top, y)
    bottom = Math.max(bottom, y)
  }
  return {
    type: 'rectanglelabels',
    ...{ x: percent(left, width), y: percent(top, height) },
    ...{ width: percent(right - left, width), height: percent(bottom - top, height), rotation: 0 },
  }
}
