import type { ClassSet } from '../class_set.js'
import type { ImageData, SegmentOptions, SegmentResult } from '../types.js'
import type { FoundLabels, LabelFinder } from './auto.js'

/** Finds out what is in a photo and segments that, with the finder's segmenter and classes. Where nothing is found, all is background. */
export async function segmentFound(
  image: ImageData,
  classes: ClassSet,
  finder: LabelFinder,
  options: Omit<SegmentOptions, 'labels' | 'output'>,
): Promise<SegmentResult & { found: FoundLabels }> {
  const { signal, include = [] } = options
  const begin = performance.now()
  const encoded = await finder.segmenter.encode(image, { signal })
  try {
    const found = await finder.find(image, encoded, signal)
    const milliseconds = performance.now() - begin
    const result = found.labels.length
      ? await encoded.segment(classes, { ...options, labels: found.labels })
      : nothingFound(image, include)
    // Its own wait in the queue included: encode() does not tell them apart.
    return { ...result, timings: { ...result.timings, encode: milliseconds }, found }
  } finally {
    encoded.dispose()
  }
}

/** What the formulas give without any map: background = (1 - 0)^power = 1 everywhere. */
function nothingFound({ width, height }: ImageData, include: readonly string[]): SegmentResult {
  return {
    ...{ width, height, labels: [], scores: new Float32Array(), mask: new Uint8Array(width * height) },
    ...(include.includes('confidence') ? { confidence: new Float32Array(width * height).fill(1) } : {}),
    ...(include.includes('cams') ? { cams: new Float32Array() } : {}),
    timings: { queue: 0, preprocess: 0, encode: 0, gradcam: 0, refine: 0, mask: 0, crf: 0 },
  }
}
