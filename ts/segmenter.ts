import { assumptions, warnOfAssumptions } from './assumptions.js'
import { checkBoolean, checkOptions, checkSignal, checkText, wrong } from './check.js'
import { ClassSet, meanRows, planClasses, planRows } from './class_set.js'
import { readClassSet } from './class_set_file.js'
import { EncodedImage } from './encoded_image.js'
import { ClipEsError, invalid } from './errors.js'
import { checkImage } from './image.js'
import { Jobs, type WhenFull } from './jobs.js'
import { libTorchFor } from './libtorch/find.js'
import { checkModelPath, type ResolvedLoadOptions, resolveLoadOptions } from './load_options.js'
import { embeddedModel, resolveModelPath } from './model_path.js'
import { create, hasAmx, type NativeEncodedImage, type NativeImage, type NativeModel } from './native.js'
import { segmentInOrder } from './segment_all.js'
import { prepareOutputs, resolveSegmentOptions } from './segment_options.js'
import { encodePrompt } from './text/tokenizer.js'
import type {
  ClassSpec,
  Embeddings,
  EmbeddingsOptions,
  EncodeClassesOptions,
  ImageData,
  LoadOptions,
  ModelInfo,
  SegmentOptions,
  SegmentResult,
  SharpImage,
} from './types.js'

/** A loaded model with native threads of its own: photos and encoded words in, masks out. */
export class Segmenter {
  /** What was loaded. */
  readonly model: ModelInfo
  readonly #jobs: Jobs
  readonly #options: ResolvedLoadOptions
  readonly #fingerprint: string
  readonly #logitScale: number

  private constructor(model: NativeModel, path: string, jobs: Jobs, options: ResolvedLoadOptions, photosAtATime: number) {
    const { patch, width, layers, heads, activation, resolution, embedding, context, device, precision } = model
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
      photosAtATime,
    })
    this.#jobs = jobs
    this.#options = options
    this.#fingerprint = model.fingerprint
    this.#logitScale = model.logitScale
  }

  /**
   * Loads a CLIP-ViT from a TorchScript archive, such as OpenAI's ViT-B-16.pt.
   * @param modelPath Default: $CLIP_ES_MODEL, else the embedded demo model, which knows emoji scenes and not photographs.
   * @throws ERR_INVALID_ARG, ERR_MODEL_READ, ERR_MODEL_FORMAT, ERR_LIBTORCH, ERR_DEVICE_UNAVAILABLE, ERR_OUT_OF_MEMORY, or the signal's reason.
   */
  static async load(modelPath?: string, options?: LoadOptions): Promise<Segmenter> {
    const given = checkModelPath(modelPath)
    const resolved = resolveLoadOptions(options)
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
    const native = { ...settings, maxSide: maxSide === Number.POSITIVE_INFINITY ? 0 : maxSide }
    try {
      const model = await jobs.run(signal, (segmenter, id) => segmenter.open(id, libtorch, path, native))
      warnOfAssumptions(model, path)
      return new Segmenter(model, path, jobs, resolved, photosAtATime)
    } catch (error) {
      await jobs.close()
      throw error
    }
  }

  /**
   * Encodes words once, for any number of images. 1 to 254 classes.
   * @throws ERR_INVALID_ARG, also for a prompt longer than the model's context.
   */
  async encodeClasses(classes: readonly ClassSpec[], options?: EncodeClassesOptions): Promise<ClassSet> {
    const plan = planClasses(classes, options)
    const { rows, firstRow, backgroundRows } = planRows(plan)
    const { context, embedding } = this.model
    const all = [...rows, ...backgroundRows]
    const prompts = all.flat()
    const tokens = new Int32Array(prompts.length * context)
    for (const [i, prompt] of prompts.entries()) tokens.set(encodePrompt(prompt, context), i * context)
    const embeddings = new Float32Array(prompts.length * embedding)
    await this.#jobs.run(plan.signal, (native, id) => native.encodeText(id, tokens, embeddings))
    const means = meanRows(
      embeddings,
      all.map((row) => row.length),
      embedding,
    )
    const end = rows.length * embedding
    const { names, background, droppedBackground, templates, fusion } = plan
    return new ClassSet({
      ...{ names, background, droppedBackground, templates, fusion, firstRow, embedding },
      fingerprint: this.#fingerprint,
      rows: means.subarray(0, end),
      backgroundRows: means.subarray(end),
    })
  }

  /**
   * Reads a class set that `ClassSet.save` wrote with this model.
   * @throws ERR_INVALID_ARG for another model's, ERR_MODEL_READ, ERR_MODEL_FORMAT.
   */
  async loadClasses(file: string): Promise<ClassSet> {
    const data = await readClassSet(checkText('loadClasses()', 'file', file))
    const classes = new ClassSet(data)
    this.#checkClasses('loadClasses()', classes)
    if (data.embedding !== this.model.embedding)
      throw new ClipEsError(
        'ERR_MODEL_FORMAT',
        `${file} is damaged: its embeddings have ${data.embedding} numbers, the model's ${this.model.embedding}; save the classes again`,
      )
    return classes
  }

  /**
   * A mask for a photo: 0 background, c + 1 the class `classes.names[c]`, 255 ignored.
   * While the promise is pending, native code reads `image.data` and writes `options.output`: do not change or transfer them.
   */
  async segment(image: ImageData | SharpImage, classes: ClassSet, options?: SegmentOptions): Promise<SegmentResult> {
    const checked = checkImage('segment()', image, this.#options.maxPixels)
    return await this.#segment(checked, checked, classes, options)
  }

  /** Encodes a photo once, so that new words cost milliseconds. */
  async encode(image: ImageData | SharpImage, options?: { signal?: AbortSignal }): Promise<EncodedImage> {
    const checked = checkImage('encode()', image, this.#options.maxPixels)
    const given = checkOptions<{ signal?: AbortSignal }>('encode()', options, ['signal'])
    const signal = checkSignal('encode()', given.signal)
    const native = await this.#jobs.run(signal, (segmenter, id) => segmenter.encode(id, checked))
    return new EncodedImage(checked, native, {
      segment: (...args) => this.#segment(...args),
      embeddings: (...args) => this.#embeddings(...args),
    })
  }

  /** Results in the order of the images, with bounded memory. A bad image rejects the iterator; leaving the loop cancels what is in flight. */
  async *segmentAll(
    images: Iterable<ImageData | SharpImage> | AsyncIterable<ImageData | SharpImage>,
    classes: ClassSet,
    options?: Omit<SegmentOptions, 'output'>,
  ): AsyncGenerator<SegmentResult, void, undefined> {
    const call = 'segmentAll()'
    if (typeof images !== 'object' || images === null || !(Symbol.iterator in images || Symbol.asyncIterator in images))
      throw wrong(call, 'images', images, 'an iterable or async iterable of { data, width, height }')
    this.#checkClasses(call, classes)
    const { signal, output } = resolveSegmentOptions(call, options, classes)
    if (Object.keys(output).length) throw invalid(`${call}: output cannot be filled by more than one image; use segment()`)
    const segment = async (image: ImageData | SharpImage, both: AbortSignal) => {
      const checked = checkImage(call, image, this.#options.maxPixels)
      return await this.#segment(checked, checked, classes, { ...options, signal: both }, 'wait')
    }
    yield* segmentInOrder(images, segment, signal, this.#inFlight)
  }

  /** Waiting jobs reject with ERR_CLOSED, running ones end, then all memory is given back. */
  async close(): Promise<void> {
    await this.#jobs.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Photos that keep native code busy: those it computes, a batch that waits, and one that is being handed out. More would only hold memory. */
  get #inFlight(): number {
    return this.model.photosAtATime + this.#options.maxBatch + 1
  }

  async #segment(
    size: { width: number; height: number },
    image: NativeImage | NativeEncodedImage,
    classes: ClassSet,
    options: SegmentOptions | undefined,
    whenFull?: WhenFull,
  ): Promise<SegmentResult> {
    const call = 'segment()'
    this.#checkClasses(call, classes)
    const resolved = resolveSegmentOptions(call, options, classes)
    const { width, height } = size
    const { labels, settings, signal } = resolved
    const { scores, ...parts } = prepareOutputs(call, resolved, width * height, 'data' in image ? image.data : undefined)
    const texts = ClassSet.texts(classes, labels)
    const timings = await this.#jobs.run(
      signal,
      (native, id) => native.segment(id, image, texts, settings, { scores, ...parts }),
      whenFull,
    )
    return {
      width,
      height,
      labels: labels.map((label) => classes.names[label] as string),
      scores,
      ...(parts as { mask: Uint8Array }),
      timings,
    }
  }

  async #embeddings(
    image: EncodedImage,
    native: NativeEncodedImage,
    options: EmbeddingsOptions | undefined,
  ): Promise<Embeddings> {
    const call = 'embeddings()'
    const given = checkOptions<EmbeddingsOptions>(call, options, ['patches', 'signal'])
    const size = this.model.embedding
    const out: Embeddings = { logitScale: this.#logitScale, image: new Float32Array(size) }
    if (checkBoolean(call, 'patches', given.patches ?? false))
      out.patches = new Float32Array(image.grid.height * image.grid.width * size)
    await this.#jobs.run(checkSignal(call, given.signal), (segmenter, id) =>
      segmenter.embeddings(id, native, out.image, out.patches),
    )
    return out
  }

  #checkClasses(call: string, classes: ClassSet): void {
    if (!(classes instanceof ClassSet)) throw wrong(call, 'classes', classes, 'what encodeClasses() or loadClasses() gives')
    if (ClassSet.fingerprint(classes) === this.#fingerprint) return
    throw new ClipEsError(
      'ERR_INVALID_ARG',
      `${call}: these classes were encoded by another model; encode them with this segmenter (${this.model.path})`,
    )
  }
}
