/**
 * @import { EncodedImage, ClassSet, Segmenter } from 'clip-es'
 * @import { EnginePort, Failure, MasksReply, PhotoReply, PhotoRequest, Reply, Request, WordsRequest } from '../contract.js'
 */

const mostClassSets = 100 // a few kilobytes each

/**
 * @param {unknown} error
 * @returns {Failure}
 */
function describe(error) {
  const { code = 'ERR_INTERNAL', message = String(error) } = /** @type {Partial<Failure>} */ (error ?? {})
  return { code, message }
}

/** What one page asks for: a photo, which is encoded once, then words as often as they change. */
class Session {
  /** @type {EnginePort} */
  #port
  /** @type {Promise<Segmenter>} */
  #segmenter
  /** @type {Promise<EncodedImage> | undefined} */
  #photo
  /** @type {Map<string, ClassSet>} */
  #classSets = new Map()
  /** By the number of the request. @type {Map<number, AbortController>} */
  #running = new Map()
  #closed = false

  /**
   * @param {EnginePort} port
   * @param {Promise<Segmenter>} segmenter
   */
  constructor(port, segmenter) {
    this.#port = port
    this.#segmenter = segmenter
    port.on('message', ({ data }) => this.#receive(data))
    port.on('close', () => this.#close())
    port.start()
    segmenter.then(
      ({ model }) => this.#send({ type: 'model', path: model.path, demo: model.demo }),
      (error) => this.#send({ type: 'unusable', error: describe(error) }),
    )
  }

  /** @param {Request} request */
  #receive(request) {
    if (request.type === 'abort') this.#running.get(request.id)?.abort()
    else void this.#answer(request)
  }

  /** @param {PhotoRequest | WordsRequest} request */
  async #answer(request) {
    const { id } = request
    if (request.type === 'photo') this.#abortAll() // they are about the photo before
    const controller = new AbortController()
    const { signal } = controller
    this.#running.set(id, controller)
    try {
      this.#send(await (request.type === 'photo' ? this.#openPhoto(request, signal) : this.#segment(request, signal)))
    } catch (error) {
      this.#send({ type: 'failed', id, error: signal.aborted ? { code: 'ABORTED', message: 'aborted' } : describe(error) })
    } finally {
      this.#running.delete(id)
    }
  }

  /**
   * @param {PhotoRequest} request
   * @param {AbortSignal} signal
   * @returns {Promise<PhotoReply>}
   */
  async #openPhoto({ id, pixels, width, height }, signal) {
    this.#forgetPhoto()
    this.#photo = this.#segmenter.then((segmenter) =>
      segmenter.encode({ data: pixels, width, height, channels: 'rgba' }, { signal }),
    )
    const { timings } = await this.#photo
    return { type: 'photo', id, milliseconds: timings.preprocess + timings.encode }
  }

  /**
   * @param {WordsRequest} request
   * @param {AbortSignal} signal
   * @returns {Promise<MasksReply>}
   */
  async #segment({ id, words, crf }, signal) {
    if (!this.#photo) throw new Error('there is no photo yet; send one before words')
    const photo = await this.#photo
    const start = performance.now()
    const classes = await this.#encodeWords(words, signal)
    const { mask, labels, width, height } = await photo.segment(classes, { crf, signal })
    const milliseconds = performance.now() - start
    return { type: 'masks', id, width, height, mask, labels, milliseconds }
  }

  /**
   * Words that were encoded before cost nothing.
   * @param {string[]} words
   * @param {AbortSignal} signal
   */
  async #encodeWords(words, signal) {
    const key = JSON.stringify(words)
    const known = this.#classSets.get(key)
    if (known) return known
    const classes = await (await this.#segmenter).encodeClasses(words, { signal })
    if (this.#classSets.size >= mostClassSets) this.#classSets.clear()
    this.#classSets.set(key, classes)
    return classes
  }

  #forgetPhoto() {
    this.#photo?.then(
      (photo) => photo.dispose(),
      () => {}, // its request was answered with the error
    )
    this.#photo = undefined
  }

  #abortAll() {
    for (const controller of this.#running.values()) controller.abort()
  }

  /** The page is gone. */
  #close() {
    this.#closed = true
    this.#abortAll()
    this.#forgetPhoto()
  }

  /** @param {Reply} reply */
  #send(reply) {
    if (!this.#closed) this.#port.postMessage(reply)
  }
}

module.exports = { Session }
