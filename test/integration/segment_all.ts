// What the tests of segmentAll() share.
import { setTimeout as delay } from 'node:timers/promises'
import type { ClassSet, ImageData, SegmentAllOptions, SegmentedItem, Segmenter, SegmentResult } from '../../ts/index.js'
import { crop, reasonOf, type Scene, scene } from './support.js'

export type Images = Iterable<ImageData> | AsyncIterable<ImageData>

/** A scene, and eight parts of it with different widths, so that their results can be told apart. */
export async function severalSizes(): Promise<{ photo: Scene; images: ImageData[] }> {
  const photo = await scene('scene01')
  return { photo, images: Array.from({ length: 8 }, (_, i) => crop(photo, 40 + 8 * i, 48)) }
}

export const widths = (from: { width: number }[]) => from.map(({ width }) => width)

/** All results of a loop. */
export async function collectFrom(
  segmenter: Segmenter,
  from: Images,
  classes: ClassSet,
  options?: SegmentAllOptions & { onError?: 'throw' },
): Promise<SegmentedItem[]> {
  const results: SegmentedItem[] = []
  for await (const result of segmenter.segmentAll(from, classes, options)) results.push(result)
  return results
}

/** The results before the loop fails, and the reason. */
export async function loopUntilError(
  segmenter: Segmenter,
  from: Images,
  classes: ClassSet,
  options?: SegmentAllOptions,
): Promise<{ results: SegmentResult[]; reason: unknown }> {
  const results: SegmentResult[] = []
  const loop = async () => {
    for await (const result of segmenter.segmentAll(from, classes, options)) if (!('error' in result)) results.push(result)
  }
  return { reason: await reasonOf(loop()), results }
}

/** Yields each image a millisecond after the one before. */
export async function* delayed(images: ImageData[]) {
  for (const image of images) {
    await delay(1)
    yield image
  }
}

/** An iterable that counts the calls of its iterator. */
export function watched(from: ImageData[]) {
  const log = { taken: 0, returned: 0 }
  const iterator = from[Symbol.iterator]()
  const iterable: Iterable<ImageData> = {
    [Symbol.iterator]: () => ({
      next() {
        log.taken++
        return iterator.next()
      },
      return() {
        log.returned++
        return { done: true, value: undefined }
      },
    }),
  }
  return { log, iterable }
}
