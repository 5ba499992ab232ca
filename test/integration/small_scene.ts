// What the tests of segment() share: a segmenter, a scene and its upper left corner, for tests that need only a small image.
import type { ClassSet, ImageData, Segmenter, SegmentResult } from '../../ts/index.js'
import { crop, load, type Scene, scene } from './support.js'

/** Asks for every part of a result. */
export const everything = { include: ['confidence', 'cams'] } as const

interface SmallScene {
  segmenter: Segmenter
  /** 320 x 240 pixels. */
  photo: Scene
  /** The labels of the photo and one more. */
  classes: ClassSet
  /** The upper left 80 x 56 pixels of the photo. */
  small: ImageData & { data: Uint8Array }
  /** The result for the small image, with everything. */
  first: SegmentResult
}

export async function smallScene(): Promise<SmallScene> {
  const segmenter = await load()
  const photo = await scene('scene01')
  const classes = await segmenter.encodeClasses([...photo.labels, 'cat'], { background: photo.background })
  const small = crop(photo, 80, 56)
  return { segmenter, photo, classes, small, first: await segmenter.segment(small, classes, everything) }
}
