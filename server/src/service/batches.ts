import type { ClassFile, Segmenter, SegmentOptions } from 'clip-es'
import { invalid } from 'clip-es/support'
import { ServerError } from '../errors.js'
import type { Callbacks } from '../remote/callbacks.js'
import type { RemotePhotos } from '../remote/photos.js'

/** A photo of a batch: a path in the folder that workers see, or a URL. */
export interface BatchPhoto {
  /** Where its results go: a relative path without extension. */
  name: string
  path?: string
  url?: string
  /** Classes that are in it. Default: those of the batch. */
  labels?: readonly (string | number)[]
}

/** What a batch has to do. */
export interface BatchTask {
  photos: readonly BatchPhoto[]
  /** What to look for, with its prompts. */
  classes: ClassFile
  options: SegmentOptions
  /** A URL that is told when the batch has ended. */
  callback?: string
}

export interface BatchFailure {
  photo: string
  message: string
}

/** How far a batch is. */
export interface BatchState {
  id: string
  state: 'waiting' | 'fetching' | 'running' | 'done' | 'failed'
  /** ISO 8601. */
  created: string
  ended?: string
  photos: number
  done: number
  failed: number
  /** The first of the photos that failed. */
  failures: readonly BatchFailure[]
  /** Why the whole batch failed, or its callback could not be sent. */
  message?: string
  /** Where its results are, from the folder that workers see. */
  folder: string
}

/** Has batches computed elsewhere. `clip-es serve --batch-queue` puts them into the queue of `clip-es worker`. */
export interface BatchBackend {
  /**
   * Accepts a batch and works on it from then on, also after the server was started again.
   * @throws ERR_INVALID_ARG for photos or classes that it cannot do
   */
  add(task: BatchTask, signal: AbortSignal): Promise<BatchState>
  get(id: string): BatchState | undefined
  /** The file of a mask; undefined where there is none. */
  mask(id: string, name: string): string | undefined
  /** Ends a batch and deletes its results. False where there is none. */
  remove(id: string): Promise<boolean>
  /** Leaves unfinished batches to the next start. */
  close(): Promise<void>
}

/** What a backend gets from the server. */
export interface BatchContext {
  segmenter: Segmenter
  /** The bytes of a photo, from allowed hosts only. */
  fetchPhoto(url: string, signal: AbortSignal): Promise<Uint8Array>
  /** Tells a callback that a batch has ended. Rejects when it cannot be told. */
  callBack(url: string, state: BatchState, signal: AbortSignal): Promise<void>
  /** Batches that have not ended; more are refused. */
  mostBatches: number
}

/** Makes the backend of a server, when its model is loaded. */
export type StartBatches = (context: BatchContext) => Promise<BatchBackend>

const none = (id: string): ServerError =>
  new ServerError(404, 'ERR_NOT_FOUND', `there is no batch ${id}`, 'send it again with POST /v1/batches')

/** The batches of a server, if it has a backend for them. */
export class Batches {
  private constructor(
    readonly backend: BatchBackend | undefined,
    readonly remote: RemotePhotos,
    readonly callbacks: Callbacks,
  ) {}

  static async create(
    start: StartBatches | undefined,
    segmenter: Segmenter,
    remote: RemotePhotos,
    callbacks: Callbacks,
    mostBatches: number,
  ): Promise<Batches> {
    const backend = await start?.({
      segmenter,
      fetchPhoto: (url, signal) => remote.fetch(url, { signal }),
      callBack: (url, state, signal) => callbacks.send(url, state, signal),
      mostBatches,
    })
    return new Batches(backend, remote, callbacks)
  }

  /** @throws ERR_NOT_FOUND where the server has no backend */
  #backend(): BatchBackend {
    if (this.backend) return this.backend
    throw new ServerError(
      404,
      'ERR_NOT_FOUND',
      'this server takes no batches',
      'start it with clip-es serve --batch-queue redis://… --batch-root DIR',
    )
  }

  /** @throws ERR_NOT_FOUND, ERR_INVALID_ARG, ERR_FORBIDDEN for a host that is not allowed, ERR_BUSY */
  async add(task: BatchTask, signal: AbortSignal): Promise<BatchState> {
    const backend = this.#backend()
    if (task.callback !== undefined) this.callbacks.check(task.callback)
    const names = new Set<string>()
    for (const { name, url } of task.photos) {
      if (names.has(name))
        throw invalid(
          `two photos of the batch have the name ${name}, so their masks would have one file; give one of them another 'name'`,
        )
      names.add(name)
      if (url !== undefined) this.remote.check(url)
    }
    return await backend.add(task, signal)
  }

  /** @throws ERR_NOT_FOUND */
  get(id: string): BatchState {
    const state = this.#backend().get(id)
    if (state) return state
    throw none(id)
  }

  /** The file of a mask. @throws ERR_NOT_FOUND */
  mask(id: string, name: string): string {
    this.get(id)
    const file = this.#backend().mask(id, name)
    if (file !== undefined) return file
    throw new ServerError(
      404,
      'ERR_NOT_FOUND',
      `the batch ${id} has no mask ${name}`,
      `GET /v1/batches/${id} tells how far it is, and which photos failed`,
    )
  }

  /** @throws ERR_NOT_FOUND */
  async remove(id: string): Promise<void> {
    if (!(await this.#backend().remove(id))) throw none(id)
  }

  async close(): Promise<void> {
    await this.backend?.close()
  }
}
