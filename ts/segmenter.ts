import { ClassSet, meanRows, planClasses, planRows } from './classes/class_set.js'
import { readClassSet } from './classes/class_set_file.js'
import { PromptCache } from './classes/prompt_cache.js'
import { allocate } from './core/allocate.js'
import { checkBoolean, checkOptions, checkSignal, wrong } from './core/check.js'
import { ClipEsError } from './core/errors.js'
import { checkFile } from './core/file_argument.js'
import type {
  FailedItem,
  KeyOf,
  SegmentAllOptions,
  SegmentedItem,
  SegmentItem,
  SegmentOptions,
  SegmentResult,
} from './core/segment_types.js'
import type {
  ClassSpec,
  Embeddings,
  EmbeddingsOptions,
  EncodeClassesOptions,
  ImageData,
  LoadOptions,
  ModelInfo,
  SharpImage,
} from './core/types.js'
import { EncodedImage } from './encoded_image.js'
import { assumptions, warnOfAssumptions } from './engine/assumptions.js'
import { defaultThreads } from './engine/cores.js'
import { checkImage } from './engine/image.js'
import { Jobs, type WhenFull } from './engine/jobs.js'
import { type ResolvedLoadOptions, resolveLoadArguments } from './engine/load_options.js'
import { embeddedModel, resolveModelPath } from './engine/model_path.js'
import { create, hasAmx, type NativeEncodedImage, type NativeModel } from './engine/native.js'
import { type Caller, type Photo, PhotoJobs } from './engine/photo_jobs.js'
import { makeWeightsFolder, warnOfWeightsFile } from './engine/weights_folder.js'
import { segmentFound } from './labels/segment_found.js'
import { libTorchFor } from './libtorch/find.js'
import { planItems, resultsInOrder, segmentItem } from './segment/segment_all.js'
import { segmentLabels } from './segment/segment_labels.js'
import { prepareOutputs, resolveSegmentOptions } from './segment/segment_options.js'
import { encodePrompt } from './text/tokenizer.js'

/** A loaded model with native threads of its own: photos and encoded words in, masks out. */
export class Segmenter {
  /** What was loaded. */
  readonly model: ModelInfo
  readonly #jobs: Jobs
  readonly #photos: PhotoJobs
  readonly #prompts: PromptCache
  readonly #options: ResolvedLoadOptions

  private constructor(model: NativeModel, path: string, jobs: Jobs, options: ResolvedLoadOptions, photosAtATime: number) {
    const { patch, width, layers, heads, activation, resolution, embedding, context, device, precision, weightsFrom } = model
    const demo = path === embeddedModel()
    this.model = Object.freeze({
      path,
      demo,
      patch,
      width,
      layers,
      heads,
      activation,
      assumed: assumptions(model),
      resolution,
      embedding,
      context,
      device,
      precision,
      weightsFrom,
      photosAtATime,
      fingerprint: model.fingerprint,
    })
    this.#jobs = jobs
    this.#prompts = new PromptCache(embedding)
    this.#photos = new PhotoJobs(jobs, model, photosAtATime + options.maxBatch + 1)
    this.#options = options
  }

  /**
   * Loads a CLIP-ViT from a TorchScript archive, such as OpenAI's ViT-B-16.pt.
   * @throws ERR_INVALID_ARG, ERR_MODEL_READ, ERR_MODEL_FORMAT, ERR_LIBTORCH, ERR_DEVICE_UNAVAILABLE, ERR_OUT_OF_MEMORY, or the signal's reason.
   */
  static async load(options?: LoadOptions): Promise<Segmenter>
  static async load(model?: string | URL, options?: Omit<LoadOptions, 'model'>): Promise<Segmenter>
  static async load(modelOrOptions?: string | URL | LoadOptions, options?: LoadOptions): Promise<Segmenter> {
    const { path: given, options: resolved } = resolveLoadArguments(modelOrOptions, options, defaultThreads)
    const { signal, maxQueue, maxPixels: _, maxSide, ...settings } = resolved
    signal?.throwIfAborted()
    const path = resolveModelPath(given)
    const libtorch = libTorchFor(resolved, hasAmx)
    const photosAtATime = resolved.concurrency * resolved.maxBatch
    const jobs = new Jobs(
      create((addon) => new addon.Segmenter()),
      maxQueue,
      photosAtATime,
    )
    makeWeightsFolder(settings.weightsFolder)
    const native = { ...settings, maxSide: maxSide === Number.POSITIVE_INFINITY ? 0 : maxSide }
    try {
      const model = await jobs.run(signal, (segmenter, id) => segmenter.open(id, libtorch, path, native))
      warnOfAssumptions(model, path)
      warnOfWeightsFile(model.weightsFailure)
      return new Segmenter(model, path, jobs, resolved, photosAtATime)
    } catch (error) {
      await jobs.close()
      throw error
    }
  }

  /**
   * Encodes words once, for any number of images. 1 to 254 classes. The embeddings of the prompts that were used last (about 2000) are kept, so
   * a class set that differs by a word costs only that word.
   * @throws ERR_INVALID_ARG, also for a prompt longer than the model's context.
   */
  async encodeClasses(classes: readonly ClassSpec[], options?: EncodeClassesOptions): Promise<ClassSet> {
    const plan = planClasses(classes, options)
    const { rows, firstRow, backgroundRows } = planRows(plan)
    const { context, embedding } = this.model
    const texts = [...rows, ...backgroundRows]
    const prompts = texts.flat()
    const remedy = 'take fewer classes, synonyms or templates'
    const encode = async (missing: readonly string[]): Promise<Float32Array> => {
      const tokens = allocate('encodeClasses(): tokens', Int32Array, missing.length * context, remedy)
      for (const [i, prompt] of missing.entries()) tokens.set(encodePrompt(prompt, context), i * context)
      const encoded = allocate('encodeClasses(): embeddings', Float32Array, missing.length * embedding, remedy)
      await this.#jobs.run(plan.signal, (native, id) => native.encodeText(id, tokens, encoded))
      return encoded
    }
    this.#jobs.check(plan.signal)
    const all = allocate('encodeClasses(): embeddings', Float32Array, prompts.length * embedding, remedy)
    const embeddings = await this.#prompts.embeddings(prompts, encode, all)
    const means = meanRows(
      embeddings,
      texts.map((row) => row.length),
      embedding,
    )
    const end = rows.length * embedding
    const { names, background, droppedBackground, templates, fusion, labelThresholds } = plan
    return ClassSet.create({
      ...{ names, background, droppedBackground, templates, fusion, labelThresholds, firstRow, embedding },
      fingerprint: this.model.fingerprint,
      rows: means.subarray(0, end),
      backgroundRows: means.subarray(end),
    })
  }

  /**
   * Reads a class set that `ClassSet.save` wrote with this model.
   * @param file A path or a file URL.
   * @throws ERR_INVALID_ARG for another model's, ERR_MODEL_READ, ERR_MODEL_FORMAT, or the signal's reason.
   */
  async loadClasses(file: string | URL, options?: { signal?: AbortSignal }): Promise<ClassSet> {
    const path = checkFile('loadClasses()', 'file', file)
    const given = checkOptions<{ signal?: AbortSignal }>('loadClasses()', options, ['signal'])
    const data = await readClassSet(path, checkSignal('loadClasses()', given.signal))
    const classes = ClassSet.create(data)
    this.#checkClasses('loadClasses()', classes)
    if (data.embedding !== this.model.embedding)
      throw new ClipEsError(
        'ERR_MODEL_FORMAT',
        `${path} is damaged: its embeddings have ${data.embedding} numbers, the model's ${this.model.embedding}; save the classes again`,
      )
    return classes
  }

  /**
   * A mask for a photo: 0 background, c + 1 the class `classes.names[c]`, 255 ignored.
   * While the promise is pending, native code reads `image.data` and writes `options.output`: do not change or transfer them.
   */
  async segment(image: ImageData | SharpImage, classes: ClassSet, options?: SegmentOptions): Promise<SegmentResult> {
    const checked = checkImage('segment()', image, this.#options.maxPixels)
    return await this.#segment('segment()', { image: checked }, classes, options)
  }

  /** Encodes a photo once, so that new words cost milliseconds. */
  async encode(image: ImageData | SharpImage, options?: { signal?: AbortSignal }): Promise<EncodedImage> {
    const checked = checkImage('encode()', image, this.#options.maxPixels)
    const given = checkOptions<{ signal?: AbortSignal }>('encode()', options, ['signal'])
    const signal = checkSignal('encode()', given.signal)
    const native = await this.#photos.encode(checked, { call: 'encode()', signal, whenFull: 'reject' })
    return EncodedImage.create(checked, native, {
      segment: (encoded, ...rest) => this.#segment('segment()', { image: checked, encoded }, ...rest),
      embeddings: (...args) => this.#embeddings(...args),
    })
  }

  /**
   * Results in the order of the items, with bounded memory. An item that fails ends the loop, or gives `{ key, error }` with
   * `onError: 'yield'`. Leaving the loop cancels what is in flight.
   */
  segmentAll<Item extends SegmentItem>(
    items: Iterable<Item> | AsyncIterable<Item>,
    classes: ClassSet,
    options?: SegmentAllOptions & { onError?: 'throw' },
  ): AsyncGenerator<SegmentedItem<KeyOf<Item>>, void, undefined>
  segmentAll<Item extends SegmentItem>(
    items: Iterable<Item> | AsyncIterable<Item>,
    classes: ClassSet,
    options?: SegmentAllOptions,
  ): AsyncGenerator<SegmentedItem<KeyOf<Item>> | FailedItem<KeyOf<Item>>, void, undefined>
  async *segmentAll(
    items: Iterable<SegmentItem> | AsyncIterable<SegmentItem>,
    classes: ClassSet,
    options?: SegmentAllOptions,
  ): AsyncGenerator<SegmentedItem<unknown> | FailedItem<unknown>, void, undefined> {
    const call = 'segmentAll()'
    if (typeof items !== 'object' || items === null || !(Symbol.iterator in items || Symbol.asyncIterator in items))
      throw wrong(call, 'items', items, 'an iterable or async iterable of images, or of { image, labels?, key? }')
    this.#checkClasses(call, classes)
    const plan = planItems(options)
    const { signal } = resolveSegmentOptions(call, plan.options, classes)
    const segment = async (image: ImageData | SharpImage, own: SegmentOptions) => {
      const checked = checkImage(call, image, this.#options.maxPixels)
      return await this.#segment(call, { image: checked }, classes, own, 'wait')
    }
    const work = (item: SegmentItem, index: number, both: AbortSignal) => segmentItem(item, index, both, plan, segment)
    yield* resultsInOrder(items, work, signal, this.#photos.window)
  }

  /** Waiting jobs reject with ERR_CLOSED, running ones end, then all memory is given back. */
  async close(): Promise<void> {
    await this.#jobs.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #segment(
    call: string,
    photo: Photo,
    classes: ClassSet,
    options: SegmentOptions | undefined,
    whenFull: WhenFull = 'reject',
  ): Promise<SegmentResult> {
    this.#checkClasses(call, classes)
    const resolved = resolveSegmentOptions(call, options, classes)
    const { labels, signal } = resolved
    const { data, width, height } = photo.image
    const outputs = prepareOutputs(call, resolved, width * height, photo.encoded && labels !== 'auto' ? undefined : data)
    const caller: Caller = { call, signal, whenFull }
    if (labels === 'auto') return await segmentFound(this.#photos, photo, classes, resolved, outputs, caller)
    return await segmentLabels(this.#photos, photo, classes, labels, resolved, outputs, caller)
  }

  async #embeddings(encoded: NativeEncodedImage, options: EmbeddingsOptions | undefined): Promise<Embeddings> {
    const call = 'embeddings()'
    const given = checkOptions<EmbeddingsOptions>(call, options, ['patches', 'signal'])
    const patches = checkBoolean(call, 'patches', given.patches ?? false)
    return await this.#photos.embeddings(encoded, patches, { call, signal: checkSignal(call, given.signal), whenFull: 'reject' })
  }

  #checkClasses(call: string, classes: ClassSet): void {
    if (!(classes instanceof ClassSet)) throw wrong(call, 'classes', classes, 'what encodeClasses() or loadClasses() gives')
    if (ClassSet.fingerprint(classes) === this.model.fingerprint) return
    throw new ClipEsError(
      'ERR_INVALID_ARG',
      `${call}: these classes were encoded by another model; encode them with this segmenter (${this.model.path})`,
    )
  }
}
