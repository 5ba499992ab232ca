import { allocate } from '../core/allocate.js'
import type { Box } from '../core/box.js'
import { checkAttached } from '../core/check.js'
import type { Timings } from '../core/segment_types.js'
import type { Embeddings } from '../core/types.js'
import type { Jobs, WhenFull } from './jobs.js'
import type { NativeEncodedImage, NativeImage, NativeOutputs, NativeSegmenter, NativeSettings, NativeTexts } from './native.js'

/** Pixels, and their features if they were encoded before. */
export interface Photo {
  image: NativeImage
  encoded?: NativeEncodedImage
}

/** How a public call runs its jobs. */
export interface Caller {
  /** Its name, for error messages: 'segment()'. */
  call: string
  signal: AbortSignal | undefined
  whenFull: WhenFull
}

/** A job has at most this many crops, so that other calls need not wait long, and so that memory is bounded. */
const cropsInBatch = 8

/** What a segmenter's engine does with photos: one job for each call. */
export class PhotoJobs {
  readonly #jobs: Jobs
  readonly #embedding: number
  readonly #logitScale: number
  /** How many photos keep the engine busy: those that it computes, a batch that waits, and one that is handed out. More would only hold memory. */
  readonly window: number

  constructor(jobs: Jobs, model: { embedding: number; logitScale: number }, window: number) {
    this.#jobs = jobs
    this.#embedding = model.embedding
    this.#logitScale = model.logitScale
    this.window = window
  }

  // A job can start long after its arguments were checked: after a wait for a place, or after other jobs of the same call. So each looks
  // again whether its memory is still there.

  async encode(image: NativeImage, { call, signal, whenFull }: Caller): Promise<NativeEncodedImage> {
    return await this.#jobs.run(
      signal,
      (native, id) => {
        checkAttached(call, 'image.data', image.data)
        return native.encode(id, image)
      },
      whenFull,
    )
  }

  async embeddings(encoded: NativeEncodedImage, patches: boolean, { call, signal, whenFull }: Caller): Promise<Embeddings> {
    const size = this.#embedding
    const remedy = 'load the model with a smaller maxSide'
    const image = allocate(`${call}: image`, Float32Array, size, remedy)
    const rows = patches
      ? allocate(`${call}: patches`, Float32Array, encoded.gridHeight * encoded.gridWidth * size, remedy)
      : undefined
    await this.#jobs.run(signal, (native, id) => native.embeddings(id, encoded, image, rows), whenFull)
    return { logitScale: this.#logitScale, image, ...(rows && { patches: rows }) }
  }

  /**
   * The embeddings of parts of a photo, each enlarged or reduced to the size that the model was trained on.
   * @returns (boxes, embedding), rows of length one
   */
  async embedCrops(
    image: NativeImage,
    boxes: readonly Box[],
    { call, signal, whenFull }: Caller,
  ): Promise<{ embeddings: Float32Array; timings: Readonly<Timings>[] }> {
    const size = this.#embedding
    const embeddings = allocate(`${call}: embeddings`, Float32Array, boxes.length * size, 'use fewer classes')
    const timings: Readonly<Timings>[] = []
    for (let first = 0; first < boxes.length; first += cropsInBatch) {
      const batch = boxes.slice(first, first + cropsInBatch)
      const numbers = Int32Array.from(batch.flatMap(({ left, top, right, bottom }) => [left, top, right, bottom]))
      const rows = embeddings.subarray(first * size, (first + batch.length) * size)
      const run = (native: NativeSegmenter, id: number) => {
        checkAttached(call, 'image.data', image.data)
        return native.embedCrops(id, image, numbers, rows)
      }
      timings.push(await this.#jobs.run(signal, run, whenFull))
    }
    return { embeddings, timings }
  }

  async segment(
    { image, encoded }: Photo,
    texts: NativeTexts,
    settings: NativeSettings,
    outputs: NativeOutputs,
    { call, signal, whenFull }: Caller,
  ): Promise<Timings> {
    return await this.#jobs.run(
      signal,
      (native, id) => {
        if (!encoded) checkAttached(call, 'image.data', image.data)
        for (const [part, array] of Object.entries(outputs)) checkAttached(call, `output.${part}`, array)
        return native.segment(id, encoded ?? image, texts, settings, outputs)
      },
      whenFull,
    )
  }
}
