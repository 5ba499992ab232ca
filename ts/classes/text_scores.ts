import { setImmediate } from 'node:timers/promises'
import { ClassSet } from './class_set.js'

/** The texts of a softmax: classes first, background words behind them. */
export interface CompetingTexts {
  /** (classes + background words) * embedding. */
  rows: Float32Array
  /** How many of the rows are classes. */
  classes: number
  embedding: number
}

/** A class's row is the mean of its synonyms' where they are fused as CAMs, not scaled to length one again: so the engine scores it. */
export function competingTexts(classes: ClassSet, background: 'with background' | 'classes alone'): CompetingTexts {
  const count = classes.names.length
  const texts = ClassSet.texts(
    classes,
    classes.names.map((_, index) => index),
  )
  const embedding = texts.rows.length / (texts.firstRow[count] as number)
  const words = background === 'with background' ? texts.background : new Float32Array()
  const rows = new Float32Array(count * embedding + words.length)
  for (let c = 0; c < count; c++) {
    const [begin, end] = [texts.firstRow[c] as number, texts.firstRow[c + 1] as number]
    for (let row = begin; row < end; row++)
      for (let e = 0; e < embedding; e++)
        rows[c * embedding + e] =
          (rows[c * embedding + e] as number) + (texts.rows[row * embedding + e] as number) / (end - begin)
  }
  rows.set(words, count * embedding)
  return { rows, classes: count, embedding }
}

/**
 * Softmax of each image's or patch's logits over all texts.
 * @param embeddings N unit rows
 * @returns (N, texts)
 */
export function textProbabilities(embeddings: Float32Array, texts: CompetingTexts, logitScale: number): Float64Array {
  const { rows, embedding } = texts
  const [images, count] = [embeddings.length / embedding, rows.length / embedding]
  const out = new Float64Array(images * count) // float32 would round small probabilities to 0
  for (let i = 0; i < images; i++) {
    const logits = out.subarray(i * count, (i + 1) * count)
    for (let c = 0; c < count; c++) {
      let sum = 0
      for (let e = 0, a = i * embedding, b = c * embedding; e < embedding; e++, a++, b++)
        sum += (embeddings[a] as number) * (rows[b] as number)
      logits[c] = logitScale * sum
    }
    softmax(logits)
  }
  return out
}

/** How many numbers are multiplied before the event loop runs: a few milliseconds. */
const productsPerTurn = 4e6

/** The same, in slices between which the event loop runs. Rejects with the signal's reason. */
export async function textProbabilitiesInTurns(
  embeddings: Float32Array,
  texts: CompetingTexts,
  logitScale: number,
  signal: AbortSignal | undefined,
): Promise<Float64Array> {
  const { rows, embedding } = texts
  const count = rows.length / embedding
  const slice = Math.ceil(productsPerTurn / rows.length) * embedding
  const out = new Float64Array((embeddings.length / embedding) * count)
  for (let at = 0; at < embeddings.length; at += slice) {
    if (at > 0) await setImmediate()
    signal?.throwIfAborted()
    out.set(textProbabilities(embeddings.subarray(at, at + slice), texts, logitScale), (at / embedding) * count)
  }
  return out
}

/** In place. */
function softmax(logits: Float64Array): void {
  let [largest, sum] = [Number.NEGATIVE_INFINITY, 0]
  for (let c = 0; c < logits.length; c++) largest = Math.max(largest, logits[c] as number)
  for (let c = 0; c < logits.length; c++) {
    logits[c] = Math.exp((logits[c] as number) - largest)
    sum += logits[c] as number
  }
  for (let c = 0; c < logits.length; c++) logits[c] = (logits[c] as number) / sum
}
