import { readdirSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type Precision, Segmenter } from 'clip-es'
import { resolveModelPath } from 'clip-es/support'
import type { RunInfo } from '../queue/runs.js'
import { messageOf } from '../shared/wording.js'
import type { WorkerOptions } from './options.js'

/** Finds models by their fingerprints, and keeps one loaded. */
export class Models {
  #loaded: Segmenter | undefined
  #key = ''
  /** Fingerprints by file, as far as files have been loaded. */
  readonly #known = new Map<string, string>()

  constructor(readonly options: Pick<WorkerOptions, 'model' | 'device' | 'threads' | 'concurrency'>) {}

  /** The files that the command line names, those in its folders included. Looked up each time: a model may be added later. */
  #files(): string[] {
    const { model } = this.options
    if (!model.length) return [resolveModelPath(undefined)]
    return model.flatMap((path) =>
      statSync(path).isDirectory()
        ? readdirSync(path)
            .sort()
            .map((name) => join(path, name))
        : [path],
    )
  }

  /**
   * The model of a run, loaded. The one before is closed.
   * @throws an Error that says why this worker cannot do the run
   */
  async load(run: RunInfo, signal: AbortSignal): Promise<Segmenter> {
    const { model, precision, maxSide } = run.settings
    const key = `${model} ${precision} ${maxSide}`
    if (this.#loaded && this.#key === key) return this.#loaded
    await this.close()
    const problems: string[] = []
    for (const file of this.#byLikelihood(run)) {
      const segmenter = await this.#try(file, run, signal, problems)
      if (segmenter === undefined) continue
      this.#loaded = segmenter
      this.#key = key
      return segmenter
    }
    throw new Error(
      `it needs the model ${run.modelFile} (${model}), which is not among those of --model${problems.length ? `: ${problems.join('; ')}` : ''}`,
    )
  }

  /** Files whose fingerprint is another one are left out. The file of the same name as the producer's comes first. */
  #byLikelihood({ modelFile, settings }: RunInfo): string[] {
    const files = this.#files().filter((file) => (this.#known.get(file) ?? settings.model) === settings.model)
    return files.sort((a, b) => Number(basename(b) === modelFile) - Number(basename(a) === modelFile))
  }

  async #try(file: string, { settings }: RunInfo, signal: AbortSignal, problems: string[]): Promise<Segmenter | undefined> {
    const { device, threads, concurrency } = this.options
    const precision = settings.precision as Precision
    let segmenter: Segmenter
    try {
      segmenter = await Segmenter.load({
        model: file,
        precision,
        maxSide: Number(settings.maxSide),
        device,
        threads,
        concurrency,
        signal,
      })
    } catch (error) {
      signal.throwIfAborted()
      problems.push(messageOf(error))
      return undefined
    }
    const { fingerprint, precision: given } = segmenter.model
    this.#known.set(file, fingerprint)
    if (fingerprint === settings.model && given === settings.precision) return segmenter
    problems.push(
      fingerprint === settings.model ? `${file} runs here in ${given}, not ${settings.precision}` : `${file} is ${fingerprint}`,
    )
    await segmenter.close()
    return undefined
  }

  async close(): Promise<void> {
    await this.#loaded?.close()
    this.#loaded = undefined
  }
}
