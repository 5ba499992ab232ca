import type { OverlayLabel } from 'clip-es/photos'
import type { Failure } from './failure.js'
import type { DemoScene } from './scenes.js'

/** A label of a scene, and how well it was found. */
export interface DemoObject extends OverlayLabel {
  probability: number
  /** Without the CRF. */
  iou: number
  /** The IoU of the reference implementation, which has no CRF. */
  reference: number
  /** With the dense CRF. */
  crfIou: number
  /** Why the object failed; missing if both IoUs are good enough. */
  failure?: Failure
}

export interface DemoResult {
  scene: DemoScene
  mask: Uint8Array
  crfMask: Uint8Array
  objects: DemoObject[]
  /** Time for encoding the photo and making its mask without the CRF. */
  milliseconds: number
  /** Additional time of the CRF. */
  crfMilliseconds: number
}

/** How far an IoU may be from the reference implementation's. */
export const tolerance = 0.01

/** An object with a lower IoU is a failure. */
export const failureBelow = 0.5

/** True also for an IoU that is NaN. */
export const isOff = (object: DemoObject): boolean => !(Math.abs(object.iou - object.reference) <= tolerance)

/** True also for an IoU that is NaN. */
export const isFailure = (iou: number): boolean => !(iou >= failureBelow)

export const objectsOf = (results: readonly DemoResult[]): DemoObject[] => results.flatMap(({ objects }) => objects)

export const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** The figures at the top of the page and at the end of the table. */
export function sumUp(results: readonly DemoResult[]) {
  const objects = objectsOf(results)
  return {
    objects: objects.length,
    iou: mean(objects.map(({ iou }) => iou)),
    reference: mean(objects.map(({ reference }) => reference)),
    crfIou: mean(objects.map(({ crfIou }) => crfIou)),
    failures: objects.filter(({ iou }) => isFailure(iou)).length,
    crfFailures: objects.filter(({ crfIou }) => isFailure(crfIou)).length,
    off: objects.filter(isOff).length,
  }
}
