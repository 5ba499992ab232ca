import type { Fusion } from '../core/types.js'

/** What a class set is made of; the file of save() holds the same. */
export interface ClassSetData {
  names: readonly string[]
  background: readonly string[]
  droppedBackground: readonly string[]
  templates: readonly string[]
  fusion: Fusion
  /** Of the model whose text tower made the embeddings. */
  fingerprint: string
  /** Length of an embedding. */
  embedding: number
  /** R * embedding, unit rows: one per class, or one per synonym when they are fused as CAMs. */
  rows: Float32Array
  /** C + 1: class c owns rows firstRow[c] to firstRow[c + 1] - 1. */
  firstRow: Int32Array
  /** M * embedding, unit rows. */
  backgroundRows: Float32Array
  /** Per class, for labels 'auto'; undefined for classes without a threshold of their own. */
  labelThresholds: readonly (number | undefined)[]
}
