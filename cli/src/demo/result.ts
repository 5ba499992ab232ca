import type { OverlayLabel } from 'clip-es/photos'
import type { DemoScene } from './scenes.js'

/** A label of a scene as it was found. */
export interface DemoObject extends OverlayLabel {
  probability: number
  iou: number
  /** The reference implementation's IoU. */
  reference: number
}

export interface DemoResult {
  scene: DemoScene
  mask: Uint8Array
  objects: DemoObject[]
  seconds: number
}

/** How far an IoU may be from the reference implementation's. */
export const tolerance = 0.01

/** True also for an IoU that is NaN. */
export const isOff = (object: DemoObject): boolean => !(Math.abs(object.iou - object.reference) <= tolerance)

export const objectsOf = (results: readonly DemoResult[]): DemoObject[] => results.flatMap(({ objects }) => objects)

/** The mean of a figure over all objects. */
export function meanOf(results: readonly DemoResult[], figure: 'iou' | 'reference'): number {
  const all = objectsOf(results)
  return all.reduce((sum, object) => sum + object[figure], 0) / all.length
}
