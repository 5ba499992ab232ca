import type { ClassSet } from './class_set.js'
import { ClipEsError } from './errors.js'
import type { NativeEncodedImage } from './native.js'
import type { SegmentOptions, SegmentResult } from './types.js'

/** @internal How an encoded image is segmented: its segmenter's own way. */
export type SegmentEncoded = (
  image: EncodedImage,
  native: NativeEncodedImage,
  classes: ClassSet,
  options?: SegmentOptions,
) => Promise<SegmentResult>

/** A photo's features, kept so that new words cost milliseconds. Holds native memory until dispose(), or until it is collected. */
export class EncodedImage {
  readonly width: number
  readonly height: number
  readonly #native: NativeEncodedImage
  readonly #segment: SegmentEncoded
  #disposed = false

  /** @internal Made by `Segmenter.encode`. */
  constructor(size: { width: number; height: number }, native: NativeEncodedImage, segment: SegmentEncoded) {
    this.width = size.width
    this.height = size.height
    this.#native = native
    this.#segment = segment
  }

  /** As `Segmenter.segment`, without encoding the photo again. */
  async segment(classes: ClassSet, options?: SegmentOptions): Promise<SegmentResult> {
    if (this.#disposed) throw new ClipEsError('ERR_CLOSED', 'this encoded image was disposed; encode the photo again')
    return await this.#segment(this, this.#native, classes, options)
  }

  /** Gives the memory back, once jobs that read it have ended. Does nothing the second time. */
  dispose(): void {
    if (!this.#disposed) this.#native.dispose()
    this.#disposed = true
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}
