// What the model calls each true object, cut out by its true box: how much of the mistakes of found labels comes from names, and not from
// boxes.
import sharp from 'sharp'
import { type CompetingTexts, competingTexts, textProbabilities } from '../../ts/classes/text_scores.js'
import type { Box } from '../../ts/core/box.js'
import type { ClassSet, ImageData, Segmenter } from '../../ts/index.js'
import { margins, meanDirection } from '../../ts/labels/auto.js'
import { cropBox } from '../../ts/labels/crop.js'

/** Where the truth has a value, or undefined if nowhere. */
function boxOf(truth: Uint8Array, width: number, value: number): Box | undefined {
  let box: Box | undefined
  for (const [i, found] of truth.entries()) {
    if (found !== value) continue
    const [x, y] = [i % width, Math.floor(i / width)]
    box ??= { left: x, top: y, right: x + 1, bottom: y + 1 }
    box = { left: Math.min(box.left, x), top: box.top, right: Math.max(box.right, x + 1), bottom: y + 1 }
  }
  return box
}

/** A part of a photo in RGB, with the longer side as long as the model's images. */
async function enlarge(image: ImageData, box: Box, side: number): Promise<ImageData> {
  const size = { width: box.right - box.left, height: box.bottom - box.top }
  const scaled = (length: number) => Math.max(1, Math.round((length * side) / Math.max(size.width, size.height)))
  const { data, info } = await sharp(image.data, { raw: { width: image.width, height: image.height, channels: 3 } })
    .extract({ left: box.left, top: box.top, ...size })
    .resize(scaled(size.width), scaled(size.height), { fit: 'fill' })
    .raw()
    .toBuffer({ resolveWithObject: true })
  return { data, width: info.width, height: info.height }
}

/** The index of the class that is most probable in the mean of the crops' embeddings. */
async function recogniseObject(segmenter: Segmenter, image: ImageData, box: Box, texts: CompetingTexts): Promise<number> {
  const rows = new Float32Array(margins.length * texts.embedding)
  let scale = 0
  for (const [i, margin] of margins.entries()) {
    const around = cropBox(image, box, { width: image.width, height: image.height }, margin)
    using encoded = await segmenter.encode(await enlarge(image, around, segmenter.model.resolution))
    const { image: embedding, logitScale } = await encoded.embeddings()
    rows.set(embedding, i * texts.embedding)
    scale = logitScale
  }
  const probabilities = textProbabilities(meanDirection(rows, texts.embedding), texts, scale).subarray(0, texts.classes)
  return probabilities.indexOf(Math.max(...probabilities))
}

/** The names of all true objects, each name once. `truth` (height, width) has the index of a class plus 1. */
export async function recogniseObjects(
  segmenter: Segmenter,
  image: ImageData,
  truth: Uint8Array,
  classes: ClassSet,
): Promise<readonly string[]> {
  const texts = competingTexts(classes, 'with background')
  const names = new Set<string>()
  for (const c of classes.names.keys()) {
    const box = boxOf(truth, image.width, c + 1)
    if (box) names.add(classes.names[await recogniseObject(segmenter, image, box, texts)] as string)
  }
  return [...names]
}
