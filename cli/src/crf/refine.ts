import { type CrfOptions, denseCrf, ignored } from 'clip-es'
import type { Segmented } from 'clip-es/support'
import { allocate, invalid } from 'clip-es/support'
import { readCamsOf } from '../eval/files.js'
import { turnedNote } from '../eval/truth.js'
import type { Cams } from '../metrics/cam_rule.js'
import { readPhotoOf } from '../photos/read.js'

/** What a mask is made with, besides its photo and maps. */
export interface RefineOptions {
  crf: CrfOptions
  backgroundPower: number
  ignoreBelow: number
  /** Whether maps and photo are compared as the camera held it or as its file stores it. */
  orientation: 'obeyed' | 'ignored'
  signal: AbortSignal
}

/** [background = (1 - largest map)^power, maps]. */
export function scoresOf({ keys, maps, width, height }: Cams, power: number): Float32Array {
  const pixels = width * height
  const scores = allocate('crf: the scores', Float32Array, (keys.length + 1) * pixels)
  scores.set(maps, pixels)
  for (let i = 0; i < pixels; i++) {
    let largest = 0
    for (let at = i; at < maps.length; at += pixels) largest = Math.max(largest, maps[at] as number)
    scores[i] = (1 - largest) ** power
  }
  return scores
}

/** Reads a photo and its maps from the folder `maps`, and makes the mask. Rejects with the signal's reason when stopped. */
export async function refine(maps: string, id: string, file: string, options: RefineOptions): Promise<Segmented> {
  const { orientation, signal, ignoreBelow } = options
  const { file: mapsFile, cams } = await readCamsOf(maps, id)
  const photo = await readPhotoOf(file, { orientation, signal })
  const { width, height } = photo
  if (cams.width !== width || cams.height !== height)
    throw invalid(
      `${mapsFile} has maps of ${cams.width} x ${cams.height}; ${file} is ${width} x ${height}${cams.width === height && cams.height === width ? turnedNote : ''}`,
    )
  const scores = scoresOf(cams, options.backgroundPower)
  const input = { rgb: photo.data, width, height, scores, labels: cams.keys.length + 1 }
  const { mask, confidence } = await denseCrf(input, { ...options.crf, signal })
  const values = Uint8Array.from([0, ...cams.keys.map((key) => key + 1)])
  for (let i = 0; i < mask.length; i++)
    mask[i] = (confidence[i] as number) < ignoreBelow ? ignored : (values[mask[i] as number] as number)
  return { photo, mask, confidence, labels: cams.keys }
}
