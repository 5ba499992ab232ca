import { type Api, type ModelAnswer, type Question, RequestError, type StoredPhoto } from './api.js'
import { questionOf } from './question.js'
import { type Result, resultOf } from './result.js'
import type { Settings } from './state.js'

/** A photo that is open. */
export interface OpenPhoto {
  /** Of its file. */
  name: string
  file: Blob
  stored: StoredPhoto
  /** Undefined if the browser cannot show this kind of file. */
  picture: ImageBitmap | undefined
  /** Milliseconds from sending it to its being encoded. */
  milliseconds: number
}

/** What happened last. */
export type Stand =
  | { kind: 'empty' | 'opening' | 'working' }
  | { kind: 'ready'; milliseconds: number }
  | { kind: 'failed'; error: RequestError; retry: () => void }

const typingPause = 220

/** One photo at a time, and one request at a time: a new one aborts the one before. */
export class Work {
  photo: OpenPhoto | undefined
  result: Result | undefined
  /** What `result` answers. */
  question: Question | undefined
  stand: Stand = { kind: 'empty' }
  readonly #api: Api
  readonly #onChange: () => void
  #settings: Readonly<Settings> | undefined
  #model: ModelAnswer | undefined
  #abort = new AbortController()
  #timer: ReturnType<typeof setTimeout> | undefined
  #asked = ''

  constructor(api: Api, onChange: () => void) {
    this.#api = api
    this.#onChange = onChange
    addEventListener('pagehide', () => this.#forget())
  }

  get hasKey(): boolean {
    return this.#api.hasKey
  }

  /** Sends a photo, then asks what the settings say. */
  async open(name: string, load: (signal: AbortSignal) => Promise<Blob>): Promise<void> {
    const { signal } = this.#restart()
    this.#change({ kind: 'opening' })
    try {
      const file = await load(signal)
      const begin = performance.now()
      const [stored, picture] = await Promise.all([this.#api.addPhoto(file, signal), decode(file)])
      this.#forget()
      this.photo = { name, file, stored, picture, milliseconds: performance.now() - begin }
      this.result = undefined
      this.#asked = ''
      this.#change({ kind: 'ready', milliseconds: 0 })
      this.#ask(0)
    } catch (error) {
      this.#fail(error, signal, () => void this.open(name, load))
    }
  }

  /** New settings. Asks the server again if they make a difference to it. */
  follow(settings: Readonly<Settings>, model: ModelAnswer | undefined): void {
    const typed = settings.words !== this.#settings?.words || settings.background !== this.#settings?.background
    this.#settings = settings
    this.#model = model
    this.#ask(typed ? typingPause : 60)
  }

  #ask(pause: number): void {
    const question = this.#settings && this.#model && questionOf(this.#settings, this.#model)
    const text = JSON.stringify(question) ?? ''
    if (!this.photo || this.stand.kind === 'opening' || text === this.#asked) return
    this.#asked = text
    const { signal } = this.#restart()
    if (!question) {
      this.result = undefined
      this.question = undefined
      this.#change({ kind: 'ready', milliseconds: 0 })
      return
    }
    this.#timer = setTimeout(() => void this.#segment(question, signal), pause)
  }

  async #segment(question: Question, signal: AbortSignal, again = true): Promise<void> {
    const { photo } = this
    if (!photo) return
    const begin = performance.now()
    this.#change({ kind: 'working' })
    try {
      const answer = await this.#api.segment(photo.stored.id, question, signal)
      const milliseconds = performance.now() - begin
      const result = await resultOf(answer)
      if (signal.aborted) return
      this.result = result
      this.question = question
      this.#change({ kind: 'ready', milliseconds })
    } catch (error) {
      if (error instanceof RequestError && error.status === 404 && again) return await this.#resend(photo, question, signal)
      this.#fail(error, signal, () => {
        this.#asked = ''
        this.#ask(0)
      })
    }
  }

  /** The server forgets photos that were not used for long. */
  async #resend(photo: OpenPhoto, question: Question, signal: AbortSignal): Promise<void> {
    try {
      photo.stored = await this.#api.addPhoto(photo.file, signal)
      await this.#segment(question, signal, false)
    } catch (error) {
      this.#fail(error, signal, () => void this.#resend(photo, question, this.#restart().signal))
    }
  }

  #restart(): AbortController {
    clearTimeout(this.#timer)
    this.#abort.abort()
    this.#abort = new AbortController()
    return this.#abort
  }

  #forget(): void {
    if (this.photo) this.#api.forget(this.photo.stored.id)
  }

  #fail(error: unknown, signal: AbortSignal, retry: () => void): void {
    if (signal.aborted) return
    const known =
      error instanceof RequestError
        ? error
        : new RequestError('The page has a bug', String(error), 'Please report it with the steps that led here.', 0)
    const busy = known.status === 503 && known.retryAfter !== undefined
    if (busy) this.#timer = setTimeout(retry, 1000 * (known.retryAfter as number))
    this.#change({ kind: 'failed', error: known, retry })
  }

  #change(stand: Stand): void {
    this.stand = stand
    this.#onChange()
  }
}

/** Browsers do not show TIFF. */
async function decode(file: Blob): Promise<ImageBitmap | undefined> {
  return await createImageBitmap(file).catch(() => undefined)
}
