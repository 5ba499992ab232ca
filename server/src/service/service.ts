import {
  type ClassSpec,
  ClipEsError,
  type EncodeClassesOptions,
  type ModelInfo,
  Segmenter,
  type SegmentOptions,
  type SegmentResult,
} from 'clip-es'
import { type Photo, readPhoto } from 'clip-es/photos'
import { invalid } from 'clip-es/support'
import { AnswerThreads } from '../answers/threads.js'
import { defaultLimits, type Limits } from '../limits.js'
import type { ServerOptions } from '../options.js'
import { UploadBudget } from './budget.js'
import { ClassSetCache, type EncodedClasses } from './class_sets.js'
import { ImageStore, type StoredImage } from './image_store.js'
import { Metrics } from './metrics.js'
import { WorkQueue } from './queue.js'

/** What is the same for a photo that is sent and for one that is stored. */
export interface Question {
  /** Words, or the name of a class set. */
  classes: readonly ClassSpec[] | string
  /** As Segmenter.segment takes them. */
  options: SegmentOptions
  /** As Segmenter.encodeClasses takes them. They win over what the class set says. */
  classOptions?: EncodeClassesOptions
  /** Aborts when the client leaves or the time is over. */
  signal: AbortSignal
}

export interface SegmentRequest extends Question {
  /** An encoded JPEG, PNG, WebP, AVIF or TIFF file. */
  photo: Buffer
}

/** Milliseconds. */
interface OwnTimes {
  /** Until the request has a place. */
  wait: number
  /** Encoding words that were not asked for before. */
  words: number
  /** Reading the photo's file. */
  decode: number
}

/** A result, with what its pictures need. */
export interface ServiceResult extends SegmentResult {
  /** All classes, by index; a mask has a class's index plus one. */
  names: readonly string[]
  /** By class, as class files write them. */
  colours: readonly (string | undefined)[]
  photo: Photo
  /** For the caller to know, each a sentence. */
  warnings: string[]
  /** Milliseconds. */
  timings: SegmentResult['timings'] & OwnTimes
}

const closing = () => new ClipEsError('ERR_CLOSED', 'the server is closing; send the request to another one, or again later')

/** Photos that are decoded or encoded while the engine computes others. */
const othersInWork = 3

/** One segmenter with its queue, class sets and stored photos. HTTP knows nothing else of the engine. */
export class Service {
  readonly limits: Limits
  readonly segmenter: Segmenter
  readonly classSets: ClassSetCache
  readonly images: ImageStore
  readonly queue: WorkQueue
  readonly uploads: UploadBudget
  readonly metrics: Metrics
  readonly threads = new AnswerThreads()
  readonly #owned: boolean
  #ready = true
  readonly #calls = new Set<AbortController>()
  #whenIdle: (() => void) | undefined

  private constructor(segmenter: Segmenter, owned: boolean, { limits, classFiles }: ServerOptions) {
    this.limits = { ...defaultLimits, ...limits }
    this.segmenter = segmenter
    this.#owned = owned
    this.classSets = new ClassSetCache(segmenter, this.limits.classSets, classFiles)
    this.images = new ImageStore(this.limits.storeBytes, this.limits.storeTime, segmenter.model.width)
    this.queue = new WorkQueue(segmenter.model.photosAtATime + othersInWork, this.limits.queue)
    this.uploads = new UploadBudget(this.limits.uploadBytes)
    this.metrics = new Metrics(this)
  }

  /** Loads the model, unless a segmenter is given. */
  static async create(options: ServerOptions = {}): Promise<Service> {
    const segmenter = options.segmenter ?? (await Segmenter.load(options.load))
    return new Service(segmenter, !options.segmenter, options)
  }

  get model(): ModelInfo {
    return this.segmenter.model
  }

  /** Whether new requests are welcome. False from drain() on. */
  get ready(): boolean {
    return this.#ready
  }

  /** Counts a request until the returned function is called. */
  enter(call: AbortController): () => void {
    this.#calls.add(call)
    return () => {
      this.#calls.delete(call)
      if (!this.#calls.size) this.#whenIdle?.()
    }
  }

  /**
   * From here on /health/ready says that requests should go elsewhere, and new photos are refused. Resolves when all requests have been answered.
   * @param time milliseconds after which those that still run are ended with ERR_CLOSED
   */
  async drain(time: number): Promise<void> {
    this.#ready = false
    if (!this.#calls.size) return
    const idle = new Promise<void>((resolve) => {
      this.#whenIdle = resolve
    })
    const timer = setTimeout(() => {
      for (const call of this.#calls) call.abort(closing())
    }, time)
    await idle
    clearTimeout(timer)
  }

  /** Rejects with ERR_INVALID_ARG, ERR_QUEUE_FULL, or the signal's reason. */
  async segment({ photo, ...question }: SegmentRequest): Promise<ServiceResult> {
    return await this.#inQueue(question, async (classes, times) => {
      const begin = performance.now()
      const image = await this.#decode(photo, question.signal)
      const decode = performance.now() - begin
      const result = await this.segmenter.segment(image, classes.classes, optionsFor(classes, question))
      return resultOf(result, classes, image, { ...times, decode })
    })
  }

  /** Encodes a photo and keeps it. */
  async addImage(photo: Buffer, signal: AbortSignal): Promise<StoredImage> {
    this.#checkOpen()
    return await this.queue.run(signal, async () => {
      const image = await this.#decode(photo, signal)
      return this.images.add(image, await this.segmenter.encode(image, { signal }))
    })
  }

  /** Segments a stored photo. Rejects with ERR_NOT_FOUND, too. */
  async segmentImage(id: string, question: Question): Promise<ServiceResult> {
    this.images.describe(id) // before the request waits
    return await this.#inQueue(question, async (classes, times) => {
      const { photo, encoded } = this.images.use(id)
      const result = await encoded.segment(classes.classes, optionsFor(classes, question))
      return resultOf(result, classes, photo, { ...times, decode: 0 })
    })
  }

  async close(): Promise<void> {
    this.#ready = false
    this.images.close()
    await this.threads.close()
    if (this.#owned) await this.segmenter.close()
  }

  async #inQueue(
    { classes, classOptions = {}, signal }: Question,
    work: (classes: EncodedClasses, times: Omit<OwnTimes, 'decode'>) => Promise<ServiceResult>,
  ): Promise<ServiceResult> {
    this.#checkOpen()
    let waited = 0
    const result = await this.queue.run(
      signal,
      async () => {
        const begin = performance.now()
        const encoded = await this.classSets.resolve(classes, classOptions, signal)
        return await work(encoded, { wait: waited, words: performance.now() - begin })
      },
      (milliseconds) => {
        waited = milliseconds
      },
    )
    this.metrics.photo(result)
    return result
  }

  #checkOpen(): void {
    if (!this.#ready) throw closing()
  }

  async #decode(photo: Buffer, signal: AbortSignal): Promise<Photo> {
    const image = await readPhoto(photo, { maxPixels: this.limits.photoPixels, signal })
    if (image.pages > this.limits.photoFrames)
      throw invalid(
        `the image: it has ${image.pages} pages; at most ${this.limits.photoFrames} are allowed: send the page that you mean`,
      )
    return image
  }
}

function optionsFor({ boxThreshold }: EncodedClasses, { options, signal }: Question): SegmentOptions {
  return { ...(boxThreshold !== undefined && { boxThreshold }), ...options, signal }
}

function resultOf(result: SegmentResult, { classes, colours }: EncodedClasses, photo: Photo, times: OwnTimes): ServiceResult {
  const warnings: string[] = []
  if (classes.droppedBackground.length)
    warnings.push(`these background words are not used, because they are also classes: ${classes.droppedBackground.join(', ')}`)
  if (photo.pages > 1) warnings.push(`the file has ${photo.pages} pages; only the first is segmented`)
  return { ...result, names: classes.names, colours, photo, warnings, timings: { ...times, ...result.timings } }
}
