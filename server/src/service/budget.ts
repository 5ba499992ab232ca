import { ServerError } from '../errors.js'

/** Bytes of uploads that all requests together may hold. */
export class UploadBudget {
  readonly #most: number
  #held = 0

  constructor(most: number) {
    this.#most = most
  }

  get held(): number {
    return this.#held
  }

  /** @throws ERR_BUSY if there is no room. Give the bytes back with `release`. */
  hold(bytes: number): void {
    if (this.#held + bytes > this.#most)
      throw new ServerError(
        503,
        'ERR_BUSY',
        `uploads of other requests hold ${this.#held} of ${this.#most} bytes`,
        'send the request again later',
      )
    this.#held += bytes
  }

  release(bytes: number): void {
    this.#held -= bytes
  }
}
