import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Photo } from 'clip-es/photos'
import { allocate, invalid } from 'clip-es/support'
import { endReason, programError } from '../train/events.js'
import { ByteReader } from './byte_reader.js'

/** `job.json` of a prediction: all that the training program has to know. */
export interface PredictJob {
  version: 1
  weights: string
  scales: readonly number[]
  flip: boolean
  device: string
  threads: number
}

/** What the network sees in a photo. */
export interface Probabilities {
  /** With background. */
  labels: number
  /** labels * height * width, each pixel's sum to 1. */
  values: Float32Array
}

type Head =
  | { id: number; width: number; height: number; labels: number }
  | { id: number; error: { code: string; message: string } }
type Ready = { event: 'ready'; classes: string[]; network: string } | { event: 'error'; code: string; message: string }

/** A trained network in a process of its own. Photos are computed one after another. */
export class Network {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #reader: ByteReader
  readonly #folder: string
  readonly #closed: Promise<Error>
  #errors = ''
  #turn: Promise<unknown> = Promise.resolve()
  #id = 0

  private constructor(
    program: string,
    job: PredictJob,
    readonly signal: AbortSignal,
  ) {
    this.#folder = mkdtempSync(join(tmpdir(), 'clip-es-predict-'))
    const file = join(this.#folder, 'job.json')
    writeFileSync(file, JSON.stringify(job))
    this.#child = spawn(program, ['predict', file], { stdio: 'pipe', detached: true }) // Ctrl-C is this process's
    this.#child.stderr.on('data', (text: Buffer) => (this.#errors = (this.#errors + text).slice(-10000)))
    this.#child.stdin.on('error', () => undefined) // the program has ended: told below
    this.#reader = new ByteReader(this.#child.stdout)
    this.#closed = new Promise((done) => {
      this.#child.on('error', done).on('close', (status, killedBy) => done(endReason(status, killedBy, this.#errors)))
    })
    signal.addEventListener('abort', this.#kill)
  }

  readonly #kill = (): void => void this.#child.kill('SIGKILL') // it has nothing to save

  /** @throws the error that the program reports, or ERR_INVALID_ARG when the weights are of other classes */
  static async start(program: string, job: PredictJob, classes: readonly string[], signal: AbortSignal): Promise<Network> {
    const network = new Network(program, job, signal)
    try {
      const ready = await network.#answer<Ready>()
      if (ready.event === 'error') throw programError(ready.code, ready.message)
      if (ready.classes.join('\n') !== classes.join('\n'))
        throw invalid(
          `predict: the weights ${job.weights} are for ${ready.classes.length} labels (${ready.classes.join(', ')}), and the run has ${classes.length} (${classes.join(', ')}); name weights of this run`,
        )
      return network
    } catch (error) {
      await network.close()
      throw error
    }
  }

  /** @throws the signal's reason, or the error that the program reports for this photo */
  async probabilities({ data, width, height }: Photo): Promise<Probabilities> {
    const turn = this.#turn.then(async () => {
      this.signal.throwIfAborted()
      const id = ++this.#id
      this.#child.stdin.write(`${JSON.stringify({ id, width, height })}\n`)
      this.#child.stdin.write(data)
      const head = await this.#answer<Head>()
      if ('error' in head) throw programError(head.error.code, head.error.message)
      const values = allocate('predict: the probabilities', Float32Array, head.labels * head.width * head.height)
      await this.#unlessEnded(this.#reader.fill(Buffer.from(values.buffer)))
      return { labels: head.labels, values }
    })
    this.#turn = turn.catch(() => undefined)
    return await turn
  }

  async #answer<Answer>(): Promise<Answer> {
    return JSON.parse(await this.#unlessEnded(this.#reader.line())) as Answer
  }

  /** What was read; if the program ended before, why. */
  async #unlessEnded<T>(reading: Promise<T | undefined>): Promise<T> {
    const read = await reading
    if (read !== undefined) return read
    const reason = await this.#closed
    this.signal.throwIfAborted()
    throw reason
  }

  /** Ends the program. */
  async close(): Promise<void> {
    this.signal.removeEventListener('abort', this.#kill)
    this.#child.stdin.end()
    this.#kill()
    await this.#closed
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
