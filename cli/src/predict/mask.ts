import { type CrfOptions, denseCrf, ignored } from 'clip-es'
import type { Photo } from 'clip-es/photos'
import { allocate } from 'clip-es/support'
import type { Probabilities } from './network.js'

/** What a mask is made with, besides the probabilities. */
export interface MaskOptions {
  crf: boolean | CrfOptions
  ignoreBelow: number
  threads: number
  signal: AbortSignal
}

/** A mask, and how sure each pixel is of its label. */
export interface Made {
  mask: Uint8Array
  confidence: Float32Array
}

/**
 * The most probable label of each pixel, after the CRF.
 * @param known indices of the classes that can be there; undefined for all
 */
export async function maskOf(
  photo: Photo,
  { labels, values }: Probabilities,
  known: readonly number[] | undefined,
  { crf, ignoreBelow, threads, signal }: MaskOptions,
): Promise<Made> {
  const pixels = photo.width * photo.height
  const possible = known ? [0, ...known.map((label) => label + 1)] : Array.from({ length: labels }, (_, value) => value)
  const rows = crf ? possible.filter((row) => row === 0 || reaches(values, row, pixels)) : possible
  const scores = rows.length === labels ? values : rowsOf(values, rows, pixels)
  const { mask, confidence } = crf
    ? await denseCrf(
        { rgb: photo.data, width: photo.width, height: photo.height, scores, labels: rows.length },
        { ...(crf === true ? {} : crf), threads, signal },
      )
    : mostProbable(scores, rows.length, pixels)
  for (let i = 0; i < pixels; i++)
    mask[i] = (confidence[i] as number) < ignoreBelow ? ignored : (rows[mask[i] as number] as number)
  return { mask, confidence }
}

const hopeless = 0.01

/** Whether a label has any chance: the CRF's time grows with the labels, and one that is hopeless at every pixel wins nowhere. */
function reaches(values: Float32Array, row: number, pixels: number): boolean {
  for (let i = row * pixels; i < (row + 1) * pixels; i++) if ((values[i] as number) >= hopeless) return true
  return false
}

/** Some labels' probabilities. */
function rowsOf(values: Float32Array, rows: readonly number[], pixels: number): Float32Array {
  const chosen = allocate('predict: the scores', Float32Array, rows.length * pixels)
  for (const [i, row] of rows.entries()) chosen.set(values.subarray(row * pixels, (row + 1) * pixels), i * pixels)
  return chosen
}

/** Ties go to the lower label. The confidence is the share of the winner. */
export function mostProbable(scores: Float32Array, labels: number, pixels: number): Made {
  const mask = new Uint8Array(pixels)
  const confidence = new Float32Array(pixels)
  for (let i = 0; i < pixels; i++) {
    let [best, sum] = [0, 0]
    for (let label = 0; label < labels; label++) {
      const score = scores[label * pixels + i] as number
      sum += score
      if (score > (scores[best * pixels + i] as number)) best = label
    }
    mask[i] = best
    confidence[i] = sum > 0 ? (scores[best * pixels + i] as number) / sum : 0
  }
  return { mask, confidence }
}
