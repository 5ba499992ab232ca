import type { ClassSet } from './classes/class_set.js'
import { ClipEsError } from './core/errors.js'
import type { SegmentOptions, SegmentResult, Timings } from './core/segment_types.js'
import type { Embeddings, EmbeddingsOptions } from './core/types.js'
import type { NativeEncodedImage } from './engine/native.js'

/** @internal What an encoded image asks of the segmenter that made it. */
export interface EncodedImageOwner {
  segment(native: NativeEncodedImage, classes: ClassSet, options?: SegmentOptions): Promise<SegmentResult>
  embeddings(native: NativeEncodedImage, options?: EmbeddingsOptions): Promise<Embeddings>
}

/**
 * A photo's features, kept so that new words cost milliseconds. Holds native memory until dispose(), or until it is collected.
 *
 * It also refers to the image's `data`, which labels 'auto' reads crops from: width * height * channels bytes that are not copied. Do not
 * change or transfer them before the last call with labels 'auto' has ended. Other calls do not read them.
 */
export class EncodedImage {
  readonly width: number
  readonly height: number
  /** How many patches the network saw in each direction. */
  readonly grid: { readonly width: number; readonly height: number }
  /** How long `Segmenter.encode` waited and worked. The stages that it does not run took 0. */
  readonly timings: Readonly<Timings>
  readonly #native: NativeEncodedImage
  readonly #owner: EncodedImageOwner
  #disposed = false
  #calls = 0

  private constructor(size: { width: number; height: number }, native: NativeEncodedImage, owner: EncodedImageOwner) {
    this.width = size.width
    this.height = size.height
    this.grid = Object.freeze({ width: native.gridWidth, height: native.gridHeight })
    this.timings = Object.freeze(native.timings)
    this.#native = native
    this.#owner = owner
  }

  /** @internal For `Segmenter.encode`. */
  static create(size: { width: number; height: number }, native: NativeEncodedImage, owner: EncodedImageOwner): EncodedImage {
    return new EncodedImage(size, native, owner)
  }

  /** As `Segmenter.segment`, without encoding the photo again. */
  async segment(classes: ClassSet, options?: SegmentOptions): Promise<SegmentResult> {
    return await this.#use((native) => this.#owner.segment(native, classes, options))
  }

  /** The photo in the space of texts: as a whole, the way scores pool it, and patch by patch when asked for. */
  async embeddings(options?: EmbeddingsOptions): Promise<Embeddings> {
    return await this.#use((native) => this.#owner.embeddings(native, options))
  }

  /** Gives the memory back, once calls that use it have ended. Does nothing the second time. */
  dispose(): void {
    if (!this.#disposed && this.#calls === 0) this.#native.dispose()
    this.#disposed = true
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  /** A call may run several jobs, so the features must stay until it has ended. */
  async #use<T>(call: (native: NativeEncodedImage) => Promise<T>): Promise<T> {
    if (this.#disposed) throw new ClipEsError('ERR_CLOSED', 'this encoded image was disposed; encode the photo again')
    this.#calls++
    try {
      return await call(this.#native)
    } finally {
      this.#calls--
      if (this.#disposed && this.#calls === 0) this.#native.dispose()
    }
  }
}
