import type { Worker } from 'bullmq'
import { unlessAborted } from 'clip-es/support'
import type { Redis } from 'ioredis'
import sharp from 'sharp'
import { isDiskError } from '../pipeline/pipeline.js'
import { consume } from '../queue/consume.js'
import type { JobData } from '../queue/jobs.js'
import { connect, shownUrl } from '../queue/redis.js'
import { removeRun } from '../queue/run_life.js'
import { Keys, listRuns, type Occupancy, occupancy, type RunInfo } from '../queue/runs.js'
import { complain, say } from '../shared/say.js'
import { stopSignal } from '../shared/stop.js'
import { sleep } from '../shared/wait.js'
import { messageOf } from '../shared/wording.js'
import { engineOf, type RunEngine, refusal, workerId } from './engine.js'
import { Models } from './models.js'
import type { WorkerOptions } from './options.js'
import { beat, Counts, serveMetrics } from './state.js'

const pause = 1000 // milliseconds between two looks at the runs
const rest = 5_000 // milliseconds after a job that this worker could not do
const patience = 60_000 // milliseconds until a run whose model was not found is looked at again
const emptyLooks = 4 // looks without work, after which --until-done ends

/** Runs `clip-es worker` until it is stopped. False when its disk is full. */
export async function worker(options: WorkerOptions): Promise<boolean> {
  const signal = stopSignal()
  sharp.concurrency(1) // the cores belong to the engine
  const redis = await connect(options.url)
  const counts = new Counts(workerId())
  const keys = new Keys(options.name)
  const server = options.metrics && (await serveMetrics(options.metrics, counts, redis))
  const silence = beat(redis, keys, counts, 1000 * options.stalledAfter)
  say(`worker ${counts.id} looks for photos in the queue '${options.name}' at ${shownUrl(options.url)}`)
  try {
    return await new Loop(redis, keys, counts, options, signal).run()
  } finally {
    silence()
    server?.close()
    await Promise.race([redis.quit(), sleep(500)]).catch(() => undefined)
    redis.disconnect()
  }
}

/** A run that jobs are taken from. */
interface Current {
  run: RunInfo
  engine: RunEngine
  consumer: Worker<JobData>
}

class Loop {
  readonly #models: Models
  #current: Current | undefined
  #diskError: Error | undefined
  /** When runs may be looked at again. */
  readonly #later = new Map<string, number>()

  constructor(
    readonly redis: Redis,
    readonly keys: Keys,
    readonly counts: Counts,
    readonly options: WorkerOptions,
    readonly signal: AbortSignal,
  ) {
    this.#models = new Models(options)
  }

  async run(): Promise<boolean> {
    const { signal, options } = this
    let empty = 0
    try {
      while (!signal.aborted && !this.#diskError && empty < emptyLooks) {
        const found = await unlessAborted(signal, this.#look()) // Redis may not answer
        empty = options.untilDone && !found ? empty + 1 : 0
        await sleep(pause, signal)
      }
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      if (signal.aborted && this.#current) say('the jobs in work are finished first; a second signal ends the worker at once')
      await this.#leave()
      await this.#models.close()
    }
    if (!this.#diskError) return true
    complain(`clip-es: ${this.#diskError.message}; make room and start the worker again. Its job is in the queue for others`)
    return false
  }

  /** Chooses the run to work on. False when there is none with work. */
  async #look(): Promise<boolean> {
    const { runs, unread } = await listRuns(this.redis, this.keys)
    for (const text of unread) this.#refuse(text, text)
    const able = runs.filter((run) => this.#isAble(run))
    const states = await Promise.all(able.map((run) => occupancy(this.redis, this.keys, run.id)))
    const stateOf = (run: RunInfo) => states[able.indexOf(run)] as Occupancy
    const withWork = able.filter((run) => stateOf(run).waiting > 0 && canBegin(run, stateOf(run)))
    // Where all jobs are in work, their workers may be dead: only who has entered a run notices and gets the jobs.
    const next = withWork[0] ?? able.find((run) => stateOf(run).active > 0 && canBegin(run, stateOf(run)))
    if (!(await this.#stays(able, withWork)) && next) await this.#enter(next)
    for (const [i, run] of able.entries()) if (isOver(states[i] as Occupancy)) await removeRun(this.redis, this.keys, run.id)
    return states.some(({ waiting, active }) => waiting + active > 0)
  }

  /** Whether the worker has a run and stays with it. A producer that was started again serves photos under another token. */
  async #stays(able: readonly RunInfo[], withWork: readonly RunInfo[]): Promise<boolean> {
    if (!this.#current) return false
    const { id, exchange } = this.#current.run
    const now = able.find((run) => run.id === id)
    const isSame = now !== undefined && JSON.stringify(now.exchange) === JSON.stringify(exchange)
    if (isSame && (withWork.includes(now) || !withWork.length)) return true
    await this.#leave()
    return false
  }

  #isAble(run: RunInfo): boolean {
    if (performance.now() < (this.#later.get(run.id) ?? 0)) return false
    const reason = this.#refusal(run)
    if (reason === undefined) this.counts.refused.delete(run.id)
    else this.#refuse(run.id, `the run ${run.id} (${run.out}) is not for this worker: ${reason}`)
    return reason === undefined
  }

  #refusal(run: RunInfo): string | undefined {
    try {
      return refusal(run, this.options.root)
    } catch (error) {
      return messageOf(error) // the folder cannot be read
    }
  }

  /** Says each reason once. */
  #refuse(run: string, reason: string): void {
    if (this.counts.refused.get(run) !== reason) complain(`clip-es: ${reason}`)
    this.counts.refused.set(run, reason)
  }

  async #enter(run: RunInfo): Promise<void> {
    const { redis, keys, counts, options, signal } = this
    let engine: RunEngine
    try {
      engine = await engineOf(run, this.#models, options.root, counts.id, signal)
    } catch (error) {
      if (signal.aborted) return
      this.#later.set(run.id, performance.now() + patience)
      this.#refuse(run.id, `the run ${run.id} (${run.out}) is not for this worker: ${messageOf(error)}`)
      return
    }
    if (signal.aborted) {
      engine.close()
      return
    }
    counts.run = run.id
    const stalledAfter = 1000 * options.stalledAfter
    const consumer: Worker<JobData> = consume({
      ...{ redis, keys, run: run.id, engine, stalledAfter, onPhoto: counts.photo },
      onJob: () => counts.jobs++,
      onProblem: (error) => this.#onProblem(error, consumer),
    })
    this.#current = { run, engine, consumer }
    say(`works on the run ${run.id}: ${run.photos} photos, results in ${run.out}`)
  }

  /** A job is in the queue again. With a full disk the worker ends; otherwise it rests, so that others take the job. */
  #onProblem(error: Error, consumer: Worker<JobData>): void {
    this.counts.returned++
    complain(`clip-es: a job went back to the queue: ${error.message}`)
    if (isDiskError(error)) this.#diskError = error
    consumer
      .pause(true)
      .then(() => sleep(rest, this.signal))
      .then(() => (this.#diskError || this.#current?.consumer !== consumer ? undefined : consumer.resume()))
      .catch(() => undefined) // it was closed
  }

  /** Waits for the jobs in work. */
  async #leave(): Promise<void> {
    if (!this.#current) return
    const { consumer, engine } = this.#current
    await consumer.close()
    engine.close()
    this.#current = undefined
    this.counts.run = undefined
  }
}

/** Nobody follows the run, and all its jobs are done: the journal has their photos. */
const isOver = ({ followed, waiting, active, failed }: Occupancy): boolean => !followed && waiting + active + failed === 0

/** Photos that a producer serves cannot be done without it. */
const canBegin = ({ exchange }: RunInfo, { followed }: Occupancy): boolean => exchange.kind === 'folder' || followed
