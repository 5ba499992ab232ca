import { hostname } from 'node:os'
import { type Job, UnrecoverableError, Worker } from 'bullmq'
import { forEachInOrder } from 'clip-es/support'
import type { Redis } from 'ioredis'
import { counted } from '../shared/wording.js'
import { Gate } from './gate.js'
import type { JobData, JobPhoto, PhotoOutcome } from './jobs.js'
import { type Ledger, Ledgers } from './ledger.js'
import { Reports } from './reports.js'
import type { Keys } from './runs.js'

/** Does photos. `clip-es worker` has an engine behind it, the benchmark of the queue a pause. */
export interface Engine {
  /** Photos in work at the same time. */
  window: number
  /** Before each job. Throws if this worker cannot do the job: another one will. */
  check(): void | Promise<void>
  /**
   * Does a photo, to the end: its results are kept when it returns.
   * @throws what is not the photo's fault: the job goes to another worker
   */
  photo(photo: JobPhoto, job: string): Promise<PhotoOutcome>
}

export interface ConsumeOptions {
  redis: Redis
  keys: Keys
  /** The run's id. */
  run: string
  engine: Engine
  /** Milliseconds after which a worker that does not answer has lost its job. */
  stalledAfter: number
  /** A photo has ended. */
  onPhoto?(outcome: PhotoOutcome): void
  onJob?(): void
  /** A job could not be done here. It is in the queue again. */
  onProblem?(error: Error): void
}

/** A photo in whose time so many workers have ended is put aside. */
export const mostLosses = 3

const jobsAtATime = 2 // so that the engine has photos while the results of a job are written

/** Takes jobs of a run and does them, until it is closed. Closing waits for the jobs in work. */
export function consume(options: ConsumeOptions): Worker<JobData> {
  const { redis, keys, run, stalledAfter } = options
  const ledgers = new Ledgers(redis, keys, run)
  const gate = new Gate()
  const worker = new Worker<JobData>(run, (job) => doJob(job, ledgers, gate, options), {
    connection: redis,
    prefix: keys.prefix,
    name: `${hostname()} ${process.pid}`,
    concurrency: jobsAtATime,
    lockDuration: stalledAfter,
    stalledInterval: stalledAfter / 2,
    maxStalledCount: 1e6, // the ledger knows which photo is at fault
    drainDelay: 2,
    runRetryDelay: 1000,
  })
  worker.on('error', () => undefined) // of the connection, which redis.ts reports, or of a lock that was lost: another worker has the job
  worker.on('failed', (_, error) => {
    if (!(error instanceof UnrecoverableError)) options.onProblem?.(error)
  })
  worker.on('completed', (job) => {
    options.onJob?.()
    if (job.opts.removeOnComplete === true) ledgers.remove(job.id as string).catch(() => undefined) // it expires
  })
  return worker
}

/** @throws UnrecoverableError when photos have failed: an operator can look at the job and have them done again */
async function doJob(job: Job<JobData>, ledgers: Ledgers, gate: Gate, options: ConsumeOptions): Promise<void> {
  const { engine, onPhoto } = options
  const id = job.id as string
  await engine.check()
  const ledger = await ledgers.read(id)
  const writer = ledgers.writer(id)
  const reports = new Reports(job)
  const end = async (place: number, outcome: PhotoOutcome) => {
    await writer.end(place, outcome)
    ledger.outcomes.set(place, outcome)
    onPhoto?.(outcome)
    reports.add(place, outcome)
  }
  const endings: Promise<void>[] = []
  const photo = (alone: boolean) => (photo: JobPhoto) =>
    gate.pass(alone, async () => {
      const [place] = photo
      await writer.begin(place, ledger.lost.get(place) ?? 0)
      let outcome: PhotoOutcome
      try {
        outcome = await engine.photo(photo, id)
      } catch (error) {
        await writer.giveUp(place)
        throw error
      }
      endings.push(end(place, outcome)) // the next photo does not wait for it
      endings.at(-1)?.catch(() => undefined) // it is thrown below
    })
  const { aside, suspects, rest } = sort(job.data.photos, ledger)
  for (const [place] of aside) await end(place, { failed: asideMessage })
  const never = new AbortController().signal // a job that was begun is finished
  // Alone, also without photos of another job: if a worker ends again, it is known which photo it was.
  await forEachInOrder(suspects, 1, never, photo(true))
  await forEachInOrder(rest, engine.window, never, photo(false))
  await Promise.all(endings)
  await reports.close()
  const failed = [...ledger.outcomes.values()].filter((outcome) => 'failed' in outcome).length
  if (failed) throw new UnrecoverableError(`${counted(failed, 'photo')} of ${job.data.photos.length} failed`)
}

const asideMessage = `put aside: ${mostLosses} workers ended while they worked on it; look at the photo, or try it again`

/** The photos of a job that are not done, by what earlier workers left of them. */
function sort(photos: readonly JobPhoto[], { outcomes, lost }: Ledger): Record<'aside' | 'suspects' | 'rest', JobPhoto[]> {
  const open = photos.filter(([place]) => !outcomes.has(place))
  const losses = ([place]: JobPhoto) => lost.get(place) ?? 0
  return {
    aside: open.filter((photo) => losses(photo) >= mostLosses),
    suspects: open.filter((photo) => losses(photo) > 0 && losses(photo) < mostLosses),
    rest: open.filter((photo) => losses(photo) === 0),
  }
}
