import { ClassSet } from '../classes/class_set.js'
import type { SegmentResult } from '../core/segment_types.js'
import type { Caller, Photo, PhotoJobs } from '../engine/photo_jobs.js'
import { allocateForLabels, type Outputs, type ResolvedSegmentOptions } from './segment_options.js'

/** Segments a photo by labels that are known. They are indices of the classes. */
export async function segmentLabels(
  jobs: PhotoJobs,
  photo: Photo,
  classes: ClassSet,
  labels: readonly number[],
  { settings, include }: ResolvedSegmentOptions,
  outputs: Outputs,
  caller: Caller,
): Promise<SegmentResult> {
  const { width, height } = photo.image
  const own = { ...outputs, ...allocateForLabels(caller.call, include, outputs, labels.length, width * height) }
  const timings = await jobs.segment(photo, ClassSet.texts(classes, labels), settings, own, caller)
  const { scores, ...parts } = own
  return { width, height, labels: labels.map((label) => classes.names[label] as string), scores, ...parts, timings }
}
