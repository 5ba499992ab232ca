import { type Colour, decodeRle, decompressRle, type LabelMap, parseColour, vividColour } from 'clip-es/photos'
import type { SegmentAnswer } from '../src/answers/json.js'
import type { Settings } from './state.js'

/** What the server found, ready to be drawn. */
export interface Result {
  answer: SegmentAnswer
  /** As the mask PNG: 0 background, the label's index plus one, 255 ignored. */
  mask: LabelMap
  /** With view 'confidence'. */
  confidence: ImageBitmap | undefined
  /** With view 'cams': by the label's position in the answer. */
  cams: readonly ImageBitmap[]
}

type Rle = NonNullable<SegmentAnswer['ignoredRle']>

/** Writes a value where a run-length code is inside. */
function fill(mask: LabelMap, rle: Rle, value: number): void {
  const { data } = decodeRle(decompressRle(rle))
  for (let i = 0; i < data.length; i++) if (data[i]) mask.data[i] = value
}

function maskOf({ width, height, labels, ignoredRle }: SegmentAnswer): LabelMap {
  const mask = { data: new Uint8Array(width * height), width, height }
  for (const { rle, index, pixels } of labels) if (rle && pixels) fill(mask, rle, index + 1)
  if (ignoredRle) fill(mask, ignoredRle, 255)
  return mask
}

/** A PNG in base64, decoded. */
async function pictureOf(base64: string): Promise<ImageBitmap> {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
  return await createImageBitmap(new Blob([bytes], { type: 'image/png' }))
}

export async function resultOf(answer: SegmentAnswer): Promise<Result> {
  const cams = answer.labels.flatMap(({ cam }) => (cam === undefined ? [] : [cam]))
  const [confidence, ...maps] = await Promise.all([
    answer.confidence === undefined ? undefined : pictureOf(answer.confidence),
    ...cams.map(pictureOf),
  ])
  return { answer, mask: maskOf(answer), confidence, cams: maps }
}

/** The colour of a label on the page: the user's, else one that is easy to see. @param position in the answer */
export function colourOf(name: string, position: number, { colours }: Settings): Colour {
  const own = colours[name]
  return own === undefined ? vividColour(position) : parseColour(own)
}

export const percent = (share: number): string => {
  const value = 100 * share
  return `${value > 0 && value < 1 ? value.toFixed(1) : Math.round(value)} %`
}
