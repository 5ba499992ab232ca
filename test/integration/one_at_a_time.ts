// Segmenters that run one job at a time, so that a test knows which jobs wait, and images that take long enough to queue others.
import type { ClassSet, ImageData, LoadOptions, Segmenter, SegmentOptions, SegmentResult } from '../../ts/index.js'
import { crop, load as loadAny, type Scene, scene } from './support.js'

export const load = (path?: string, options: LoadOptions = {}) => loadAny(path, { concurrency: 1, ...options })

interface QueueImages {
  photo: Scene
  small: ImageData
  /** Takes longer than it takes to queue others behind it. */
  large: ImageData
  /** Takes much longer than the small one. */
  huge: ImageData
}

export async function queueImages(): Promise<QueueImages> {
  const photo = await scene('scene01')
  const grey = (width: number, height: number) => {
    const data = Uint8Array.from({ length: width * height }, (_, i) => photo.data[3 * (i % (320 * 240))] as number)
    return { data, width, height }
  }
  return { photo, small: crop(photo, 64, 48), large: grey(640, 480), huge: grey(1024, 768) }
}

/** Loads a segmenter for one test and closes it afterwards. */
export async function withSegmenter(options: LoadOptions, use: (own: Segmenter) => Promise<void>): Promise<void> {
  const own = await load(undefined, options)
  try {
    await use(own)
  } finally {
    await own.close()
  }
}

/**
 * Starts the huge image on a segmenter of concurrency 2, and resolves while it runs: jobs start in the order of the calls, and a later
 * one has ended.
 */
export async function startHuge(
  own: Segmenter,
  { huge, small, classes }: { huge: ImageData; small: ImageData; classes: ClassSet },
  options: SegmentOptions = {},
): Promise<{ running: Promise<SegmentResult> }> {
  const running = own.segment(huge, classes, options)
  running.catch(() => {}) // the test reads the reason later
  await own.segment(small, classes)
  return { running }
}
