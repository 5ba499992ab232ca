/**
 * @import { Failure, MasksReply, ModelNotice, PhotoReply, PhotoRequest, Reply, WordsRequest } from '../contract.js'
 */

/** An error of the engine, or that it is gone. */
export class EngineError extends Error {
  /** @param {Failure} failure */
  constructor({ code, message }) {
    super(message)
    this.name = 'EngineError'
    this.code = code
  }
}

/** Sends requests to the engine over a port, and gives each its reply. */
export class EngineClient {
  /** @type {MessagePort} */
  #port
  #nextId = 1
  /** @type {Map<number, { resolve(reply: any): void, reject(error: unknown): void }>} */
  #waiting = new Map()

  /**
   * @param {MessagePort} port
   * @param {{ onModel(model: ModelNotice): void, onUnusable(error: EngineError): void }} listeners
   */
  constructor(port, { onModel, onUnusable }) {
    this.#port = port
    port.onmessage = ({ data }) => {
      const reply = /** @type {Reply} */ (data)
      if (reply.type === 'model') onModel(reply)
      else if (reply.type === 'unusable') onUnusable(new EngineError(reply.error))
      else if (reply.type === 'failed') this.#take(reply.id)?.reject(new EngineError(reply.error))
      else this.#take(reply.id)?.resolve(reply)
    }
  }

  /**
   * @param {Pick<PhotoRequest, 'pixels' | 'width' | 'height'>} photo
   * @param {AbortSignal} signal
   * @returns {Promise<PhotoReply>}
   */
  openPhoto(photo, signal) {
    return this.#request({ ...photo, type: 'photo', id: this.#nextId++ }, signal)
  }

  /**
   * @param {Pick<WordsRequest, 'words' | 'crf'>} question
   * @param {AbortSignal} signal
   * @returns {Promise<MasksReply>}
   */
  segment(question, signal) {
    return this.#request({ ...question, type: 'words', id: this.#nextId++ }, signal)
  }

  /** Requests that have no reply yet reject: the engine at the other end is gone. */
  close() {
    this.#port.close()
    for (const { reject } of this.#waiting.values()) reject(new EngineError({ code: 'GONE', message: 'the engine stopped' }))
    this.#waiting.clear()
  }

  /**
   * @param {PhotoRequest | WordsRequest} request
   * @param {AbortSignal} signal
   * @returns {Promise<any>}
   */
  #request(request, signal) {
    signal.throwIfAborted()
    const { id } = request
    const { promise, ...settle } = Promise.withResolvers()
    this.#waiting.set(id, settle)
    signal.addEventListener('abort', () => {
      if (!this.#take(id)) return
      this.#port.postMessage({ type: 'abort', id })
      settle.reject(signal.reason)
    })
    this.#port.postMessage(request)
    return promise
  }

  /** @param {number} id */
  #take(id) {
    const settle = this.#waiting.get(id)
    this.#waiting.delete(id)
    return settle
  }
}
