import type { SegmentAnswer } from '../src/answers/json.js'
import type { Problem } from '../src/errors.js'

/** GET /v1/model: what the page uses of it. */
export interface ModelAnswer {
  model: { name: string; demo: boolean; device: string; precision: string }
  limits: { photoBytes: number; photoPixels: number }
  defaults: Record<'labelThreshold' | 'boxThreshold' | 'minScore' | 'backgroundPower' | 'backgroundBelow' | 'ignoreBelow', number>
  classSets: { name: string; classes: unknown[]; background?: string[]; boxThreshold?: number }[]
  backgrounds: { voc: string[] }
}

/** A photo that comes with the server, and what is in it. */
export interface Scene {
  name: string
  labels: string[]
}

export interface StoredPhoto {
  id: string
  width: number
  height: number
}

/** The body of a request that segments. */
export type Question = Record<string, unknown>

/** A request that failed: a problem of the server, or no answer at all. */
export class RequestError extends Error {
  constructor(
    readonly title: string,
    detail: string,
    readonly remedy: string | undefined,
    readonly status: number,
    /** Seconds until it is worth trying again. */
    readonly retryAfter?: number,
  ) {
    super(detail)
    this.name = 'RequestError'
  }
}

const offline = () =>
  new RequestError('The server does not answer', 'No connection to the server.', 'Check that clip-es serve is still running.', 0)

async function errorOf(response: Response): Promise<RequestError> {
  const problem: Partial<Problem> = await response.json().catch(() => ({}))
  const { title = `The server answered ${response.status}`, detail = response.statusText, remedy } = problem
  const after = Number.parseInt(response.headers.get('retry-after') ?? '', 10)
  return new RequestError(title, detail, remedy, response.status, Number.isNaN(after) ? undefined : after)
}

const storedKey = 'clip-es-api-key'

export class Api {
  #key = sessionStorage.getItem(storedKey) ?? ''

  get hasKey(): boolean {
    return this.#key !== ''
  }

  /** The key of all requests from now on. */
  useKey(key: string): void {
    this.#key = key
    sessionStorage.setItem(storedKey, key)
  }

  model = async (): Promise<ModelAnswer> => (await this.#send('v1/model')).json()

  scenes = async (): Promise<Scene[]> => (await this.#send('page/scenes')).json()

  sceneFile = async (name: string, signal: AbortSignal): Promise<Blob> =>
    (await this.#send(`page/scenes/${name}.png`, { signal })).blob()

  async addPhoto(photo: Blob, signal: AbortSignal): Promise<StoredPhoto> {
    const headers = { 'content-type': 'application/octet-stream' }
    return (await this.#send('v1/images', { method: 'POST', body: photo, headers, signal })).json()
  }

  async segment(id: string, question: Question, signal: AbortSignal): Promise<SegmentAnswer> {
    return (await this.#ask(id, { ...question, format: 'json' }, signal)).json()
  }

  /** A file that the server writes. */
  async file(id: string, question: Question, format: 'mask' | 'overlay'): Promise<Blob> {
    return (await this.#ask(id, { ...question, format })).blob()
  }

  /** Frees the server's memory of a photo. It does not matter if that fails: the server forgets photos by itself. */
  forget(id: string): void {
    this.#send(`v1/images/${id}`, { method: 'DELETE', keepalive: true }).catch(() => {})
  }

  #ask(id: string, question: Question, signal?: AbortSignal): Promise<Response> {
    const headers = { 'content-type': 'application/json' }
    return this.#send(`v1/images/${id}/segment`, {
      method: 'POST',
      body: JSON.stringify(question),
      headers,
      ...(signal && { signal }),
    })
  }

  async #send(path: string, { headers, ...request }: RequestInit = {}): Promise<Response> {
    const key = this.#key && { authorization: `Bearer ${this.#key}` }
    let response: Response
    try {
      response = await fetch(path, { ...request, headers: { ...headers, ...key } as HeadersInit })
    } catch (cause) {
      request.signal?.throwIfAborted()
      throw Object.assign(offline(), { cause })
    }
    if (response.ok) return response
    throw await errorOf(response)
  }
}
