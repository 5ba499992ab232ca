import { randomUUID } from 'node:crypto'
import type { EncodedImage } from 'clip-es'
import type { Photo } from 'clip-es/photos'
import { ServerError } from '../errors.js'

/** A photo that was encoded, so that new words cost milliseconds. */
export interface StoredImage {
  readonly id: string
  readonly width: number
  readonly height: number
  /** Memory that it takes. */
  readonly bytes: number
  /** When it goes if nobody uses it, in milliseconds since 1970. */
  readonly expires: number
}

interface Entry {
  photo: Photo
  encoded: EncodedImage
  bytes: number
  expires: number
}

/** What an encoded photo takes: pixels here and in the engine, attention (patches x patches) and the last block's inputs, as floats. */
export function bytesOf({ width, height }: Photo, { grid }: EncodedImage, channels: number): number {
  const patches = grid.width * grid.height
  return 6 * width * height + 4 * patches ** 2 + 32 * patches * channels
}

/** Encoded photos by id, within limits of memory and of time. The one that was not used for longest goes first. */
export class ImageStore {
  readonly #entries = new Map<string, Entry>()
  readonly #mostBytes: number
  readonly #time: number
  readonly #channels: number
  readonly #sweep: NodeJS.Timeout
  #bytes = 0

  /** @param channels of the model's image tower */
  constructor(mostBytes: number, time: number, channels: number) {
    this.#mostBytes = mostBytes
    this.#time = time
    this.#channels = channels
    this.#sweep = setInterval(() => this.#expire(), Math.min(time, 10_000)).unref()
  }

  get count(): number {
    return this.#entries.size
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Keeps a photo, and lets others go if there is no room. @throws ERR_TOO_LARGE for one that alone is more than the store holds */
  add(photo: Photo, encoded: EncodedImage): StoredImage {
    const bytes = bytesOf(photo, encoded, this.#channels)
    if (bytes > this.#mostBytes) {
      encoded.dispose()
      throw new ServerError(
        413,
        'ERR_TOO_LARGE',
        `an encoded photo of ${photo.width} x ${photo.height} pixels takes ${bytes} bytes; the store holds ${this.#mostBytes}`,
        'reduce the photo first, or use POST /v1/segment, which keeps nothing',
      )
    }
    for (const oldest of this.#entries.keys()) if (this.#bytes + bytes > this.#mostBytes) this.#drop(oldest)
    const id = randomUUID()
    this.#entries.set(id, { photo, encoded, bytes, expires: 0 })
    this.#bytes += bytes
    this.#touch(id)
    return this.describe(id)
  }

  /** @throws ERR_NOT_FOUND */
  describe(id: string): StoredImage {
    const { photo, bytes, expires } = this.#find(id)
    return { id, width: photo.width, height: photo.height, bytes, expires }
  }

  /** The photo, used now. It stays usable until the calls that have begun are done, even if it is dropped. @throws ERR_NOT_FOUND */
  use(id: string): { photo: Photo; encoded: EncodedImage } {
    const { photo, encoded } = this.#find(id)
    this.#touch(id)
    return { photo, encoded }
  }

  /** @throws ERR_NOT_FOUND */
  delete(id: string): void {
    this.#find(id)
    this.#drop(id)
  }

  close(): void {
    clearInterval(this.#sweep)
    for (const id of this.#entries.keys()) this.#drop(id)
  }

  #find(id: string): Entry {
    const entry = this.#entries.get(id)
    if (entry && entry.expires > Date.now()) return entry
    throw new ServerError(
      404,
      'ERR_NOT_FOUND',
      `there is no image ${id}: it was deleted, was not used for ${this.#time / 1000} s, or had to make room for others`,
      'send the photo to POST /v1/images again',
    )
  }

  #touch(id: string): void {
    const entry = this.#entries.get(id) as Entry
    entry.expires = Date.now() + this.#time
    this.#entries.delete(id)
    this.#entries.set(id, entry)
  }

  #drop(id: string): void {
    const { encoded, bytes } = this.#entries.get(id) as Entry
    encoded.dispose()
    this.#entries.delete(id)
    this.#bytes -= bytes
  }

  #expire(): void {
    for (const [id, { expires }] of this.#entries) if (expires <= Date.now()) this.#drop(id)
  }
}
