// clip-es-server/client: a client that needs only fetch, for browsers and Node.js.
import type { AskOptions, ClassFile, KeptClassSet, KeptImage, Problem, SegmentAnswer, ServerAbout } from './types.js'

export type * from './types.js'

/** An answer that is an error. `problem.code` is for programs. */
export class ClientError extends Error {
  readonly problem: Problem
  /** Seconds until it is worth trying again, if the server says so. */
  readonly retryAfter: number | undefined

  constructor(problem: Problem, retryAfter: number | undefined) {
    super(problem.remedy ? `${problem.detail}; ${problem.remedy}` : problem.detail)
    this.name = 'ClientError'
    this.problem = problem
    this.retryAfter = retryAfter
  }
}

export interface ClientOptions {
  /** The server's API key. */
  key?: string
  /** Default: the global fetch. */
  fetch?: typeof fetch
}

export interface CallOptions {
  signal?: AbortSignal
}

/** A photo's file: a File of a form, or its bytes. */
export type PhotoSource = Blob | Uint8Array<ArrayBuffer> | ArrayBuffer

type Kind = 'mask' | 'overlay' | 'raw' | 'npz'

/** A client of one server. */
export class Client {
  readonly #url: string
  readonly #headers: Record<string, string>
  readonly #fetch: typeof fetch

  /** @param url of the server, with its prefix: 'http://127.0.0.1:8080' */
  constructor(url: string | URL, options: ClientOptions = {}) {
    this.#url = String(url).replace(/\/+$/, '')
    this.#headers = options.key === undefined ? {} : { authorization: `Bearer ${options.key}` }
    this.#fetch = options.fetch ?? globalThis.fetch.bind(globalThis)
  }

  /** Labels with scores, boxes and shapes. */
  async segment(photo: PhotoSource, ask: AskOptions, call?: CallOptions): Promise<SegmentAnswer> {
    return (await (await this.#send(photo, { ...ask, format: 'json' }, call)).json()) as SegmentAnswer
  }

  /** A file: the palette mask (PNG), the overlay (PNG), the mask's bytes, or the maps (.npz). */
  async render(photo: PhotoSource, kind: Kind, ask: AskOptions, call?: CallOptions): Promise<Blob> {
    return await (await this.#send(photo, { ...ask, format: kind }, call)).blob()
  }

  /** Encodes a photo and lets the server keep it, so that new words cost milliseconds. */
  async addImage(photo: PhotoSource, call?: CallOptions): Promise<KeptImage> {
    return (await (await this.#request('POST', '/v1/images', form(photo, {}), {}, call)).json()) as KeptImage
  }

  /** As segment(), for a photo that the server keeps. */
  async segmentImage(id: string, ask: AskOptions, call?: CallOptions): Promise<SegmentAnswer> {
    return (await (await this.#json('POST', imagePath(id, '/segment'), { ...ask, format: 'json' }, call)).json()) as SegmentAnswer
  }

  /** As render(), for a photo that the server keeps. */
  async renderImage(id: string, kind: Kind, ask: AskOptions, call?: CallOptions): Promise<Blob> {
    return await (await this.#json('POST', imagePath(id, '/segment'), { ...ask, format: kind }, call)).blob()
  }

  async deleteImage(id: string, call?: CallOptions): Promise<void> {
    await this.#request('DELETE', imagePath(id), undefined, {}, call)
  }

  async classSets(call?: CallOptions): Promise<KeptClassSet[]> {
    const answer = await this.#request('GET', '/v1/classes', undefined, {}, call)
    return ((await answer.json()) as { classSets: KeptClassSet[] }).classSets
  }

  /** Stores a class set under a name. */
  async storeClasses(name: string, set: ClassFile, call?: CallOptions): Promise<KeptClassSet> {
    return (await (await this.#json('POST', '/v1/classes', { ...set, name }, call)).json()) as KeptClassSet
  }

  async deleteClasses(name: string, call?: CallOptions): Promise<void> {
    await this.#request('DELETE', `/v1/classes/${encodeURIComponent(name)}`, undefined, {}, call)
  }

  /** The model, limits, defaults and class sets. */
  async about(call?: CallOptions): Promise<ServerAbout> {
    return (await (await this.#request('GET', '/v1/model', undefined, {}, call)).json()) as ServerAbout
  }

  async #send(photo: PhotoSource, options: object, call?: CallOptions): Promise<Response> {
    return await this.#request('POST', '/v1/segment', form(photo, options), {}, call)
  }

  async #json(method: string, path: string, body: object, call?: CallOptions): Promise<Response> {
    return await this.#request(method, path, JSON.stringify(body), { 'content-type': 'application/json' }, call)
  }

  async #request(
    method: string,
    path: string,
    body: string | FormData | undefined,
    headers: Record<string, string>,
    { signal }: CallOptions = {},
  ): Promise<Response> {
    const init: RequestInit = { method, headers: { ...this.#headers, ...headers } }
    if (body !== undefined) init.body = body
    if (signal) init.signal = signal
    const response = await this.#fetch(`${this.#url}${path}`, init)
    if (response.ok) return response
    throw new ClientError(await problemOf(response), Number(response.headers.get('retry-after')) || undefined)
  }
}

const imagePath = (id: string, rest = ''): string => `/v1/images/${encodeURIComponent(id)}${rest}`

/** A form: lists and objects as JSON, so that no comma in a word is taken for a separator. */
function form(photo: PhotoSource, options: object): FormData {
  const data = new FormData()
  data.append('photo', photo instanceof Blob ? photo : new Blob([photo]), 'photo')
  for (const [name, value] of Object.entries(options))
    if (value !== undefined) data.append(name, typeof value === 'object' ? JSON.stringify(value) : String(value))
  return data
}

/** A proxy in between may answer in another way. */
async function problemOf(response: Response): Promise<Problem> {
  const type = response.headers.get('content-type') ?? ''
  if (type.startsWith('application/problem+json')) return (await response.json()) as Problem
  const { status, statusText } = response
  return {
    ...{ type: 'about:blank', title: statusText, status, code: 'ERR_BAD_REQUEST', requestId: '' },
    detail: `the answer has the status ${status} and is not from clip-es: ${(await response.text()).slice(0, 200)}`,
  }
}
