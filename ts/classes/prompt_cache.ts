/** Memory for embeddings: 2048 prompts of a model with embeddings of 512 numbers. */
const mostBytes = 4 * 2 ** 20

/**
 * The embeddings of the prompts that a segmenter used last. Background words and templates return in nearly every class set, so somebody who
 * types words waits only for the new ones.
 */
export class PromptCache {
  readonly #rows = new Map<string, Float32Array>()
  readonly #most: number

  /** @param embedding numbers of an embedding */
  constructor(readonly embedding: number) {
    this.#most = Math.floor(mostBytes / (embedding * Float32Array.BYTES_PER_ELEMENT))
  }

  /**
   * The embeddings of prompts, one after another. Each prompt that is not known is encoded, once.
   * @param encode from prompts to their embeddings, one after another
   */
  async embeddings(
    prompts: readonly string[],
    encode: (prompts: readonly string[]) => Promise<Float32Array>,
    out: Float32Array,
  ): Promise<Float32Array> {
    const rows = new Map(prompts.map((prompt) => [prompt, this.#rows.get(prompt)]))
    const missing = [...rows].filter(([, row]) => row === undefined).map(([prompt]) => prompt)
    if (missing.length) {
      const encoded = await encode(missing)
      for (const [i, prompt] of missing.entries()) rows.set(prompt, encoded.slice(i * this.embedding, (i + 1) * this.embedding))
    }
    for (const [prompt, row] of rows) this.#keep(prompt, row as Float32Array)
    for (const [i, prompt] of prompts.entries()) out.set(rows.get(prompt) as Float32Array, i * this.embedding)
    return out
  }

  /** The prompt becomes the one that was used last. */
  #keep(prompt: string, row: Float32Array): void {
    this.#rows.delete(prompt)
    this.#rows.set(prompt, row)
    for (const oldest of this.#rows.keys()) {
      if (this.#rows.size <= this.#most) break
      this.#rows.delete(oldest)
    }
  }
}
