import type { ClassSet } from '../classes/class_set.js'
import type { SegmentResult, Timings } from '../core/segment_types.js'
import type { Caller, Photo, PhotoJobs } from '../engine/photo_jobs.js'
import { segmentLabels } from '../segment/segment_labels.js'
import type { Outputs, ResolvedSegmentOptions } from '../segment/segment_options.js'
import { findPresence } from './auto.js'

/**
 * Finds out which classes are in a photo, and segments those. Where nothing is found, all is background. Only the first job of a call can
 * be refused by a full queue; the others wait.
 */
export async function segmentFound(
  jobs: PhotoJobs,
  photo: Photo,
  classes: ClassSet,
  options: ResolvedSegmentOptions,
  outputs: Outputs,
  caller: Caller,
): Promise<SegmentResult> {
  const waiting: Caller = { ...caller, whenFull: 'wait' }
  const encoded = photo.encoded ?? (await jobs.encode(photo.image, caller))
  try {
    const found = await findPresence(jobs, { ...photo, encoded }, classes, waiting)
    const labels = options.labelThresholds.flatMap((threshold, c) => ((found.presence[c] as number) >= threshold ? [c] : []))
    const result = labels.length
      ? await segmentLabels(jobs, { ...photo, encoded }, classes, labels, options, outputs, waiting)
      : nothingFound(photo.image, options, outputs)
    const before = [...(photo.encoded ? [] : [encoded.timings]), ...found.timings]
    return {
      ...result,
      presence: Float32Array.from(labels, (c) => found.presence[c] as number),
      timings: sum([result.timings, ...before]),
    }
  } finally {
    if (!photo.encoded) encoded.dispose()
  }
}

/** What the formulas give without any map: background = (1 - 0)^power = 1 everywhere. */
function nothingFound(
  { width, height }: { width: number; height: number },
  { include }: ResolvedSegmentOptions,
  { mask, confidence }: Outputs,
): SegmentResult {
  return {
    ...{ width, height, labels: [], scores: new Float32Array(), mask: mask.fill(0) },
    ...(confidence ? { confidence: confidence.fill(1) } : {}),
    ...(include.has('cams') ? { cams: new Float32Array() } : {}),
    timings: sum([]),
  }
}

/** Of several jobs of one call. */
function sum(all: readonly Readonly<Timings>[]): Timings {
  const total: Timings = { queue: 0, preprocess: 0, encode: 0, gradcam: 0, refine: 0, mask: 0, crf: 0 }
  for (const timings of all) for (const stage of Object.keys(total) as (keyof Timings)[]) total[stage] += timings[stage]
  return total
}
