import { hostname } from 'node:os'
import { basename, resolve } from 'node:path'
import { packageVersion } from 'clip-es/support'
import type { Redis } from 'ioredis'
import { leftOf, type Work } from '../dataset/left.js'
import { failedEntry, folderExchange } from '../dataset/photo.js'
import type { Plan } from '../dataset/run.js'
import { failedEvent, type Progress } from '../pipeline/progress.js'
import { folderId } from '../results/folder_id.js'
import { JournalIndex } from '../results/journal_index.js'
import { removeLeftovers } from '../results/leftovers.js'
import type { Results } from '../results/store.js'
import type { Bits } from '../shared/bits.js'
import { complain } from '../shared/say.js'
import { UsageError } from '../shared/usage.js'
import { counted } from '../shared/wording.js'
import type { DatasetItem } from '../sources/dataset.js'
import { enqueue } from './enqueue.js'
import { Follower, type FollowOptions, QueueLost } from './follow.js'
import { type PhotoServer, servePhotos } from './http_server.js'
import { groupsOf, jobSize } from './jobs.js'
import { Lease } from './lease.js'
import { type PathOptions, Paths } from './paths.js'
import { clearFinished, removeOtherRuns, removeRun } from './run_life.js'
import { Keys, putRun, type RunInfo, runId } from './runs.js'
import { Tally } from './tally.js'

export interface ProducerOptions extends PathOptions {
  redis: Redis
  /** Of the queue. */
  name: string
  plan: Plan
  work: Work
  results: Results
  signal: AbortSignal
}

export interface FollowerOptions {
  /** A photo has failed. */
  onFailed?(item: DatasetItem, message: string): void
  /** Failed photos of a common folder stay in the queue, for `clip-es queue retry-failed`. Default true. */
  keepFailed?: boolean
}

/** Has the photos that are left in a folder of results done by the workers of a queue. */
export class Producer {
  readonly #keys: Keys
  readonly #paths: Paths
  readonly #lease: Lease
  readonly #folder: string
  /** The run's id. */
  readonly id: string
  #server: PhotoServer | undefined
  #follower: Follower | undefined
  #diskError: Error | undefined

  /** @throws UsageError when the folder of results is not in the root */
  constructor(readonly options: ProducerOptions) {
    const { redis, name, plan, results, out } = options
    this.#keys = new Keys(name)
    this.#paths = new Paths(options)
    this.#folder = folderId(out)
    this.id = runId(this.#folder, plan.settings, results.journal.shard)
    this.#lease = new Lease(redis, this.#keys, this.id)
  }

  /** Takes the folder's run for this producer while `work` runs. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const { redis, plan, signal, servePhotos } = this.options
    await this.#lease.take(signal)
    this.#server = servePhotos && (await this.#serve())
    try {
      await removeOtherRuns(redis, this.#keys, this.#folder, plan.settings)
      await clearFinished(redis, this.#keys, this.id)
      return await work()
    } finally {
      await this.#server?.close()
      await this.#lease.release()
    }
  }

  /** Puts everything into the queue at once. Returns the number of jobs. */
  async enqueue(): Promise<number> {
    const { left } = this.options.work
    return left.size ? await enqueue(this.#info(), this.#jobOptions(left)) : 0
  }

  /**
   * Until nothing is left. What Redis loses is found in the journal and put into the queue again.
   * @returns the number of photos that nobody did: of a run that was drained
   */
  async follow(progress: Progress, { onFailed, keepFailed = true }: FollowerOptions = {}): Promise<number> {
    const { work, plan, results } = this.options
    const tally = new Tally(work.mine.length, progress, plan.job.classes, (item, message) => {
      if (this.#server) results.journal.add(failedEntry(item, plan.settings, message)) // else the worker has written it
      onFailed?.(item, message)
    })
    const left = await this.#passes(tally)
    const open = left.size ? this.#reportLeft(left, progress, tally) : 0
    await this.#end(keepFailed && tally.failures > 0 && !this.#server)
    return open
  }

  #serve(): Promise<PhotoServer> {
    const { plan, results, servePhotos: address } = this.options
    return servePhotos({
      address: address as NonNullable<PathOptions['servePhotos']>,
      exchange: folderExchange(results, plan.outputs),
      outputs: plan.outputs,
      settings: plan.settings,
      photo: (job, place) => this.#follower?.photo(job, place),
      onDiskError: (error) => {
        this.#diskError ??= error
      },
    })
  }

  #info(): RunInfo {
    const { plan, work, out } = this.options
    const { manifest, outputs } = plan
    const { url, token } = this.#server ?? {}
    return {
      ...{ format: 1, id: this.id, version: packageVersion(), settings: manifest.settings, outputs },
      ...{ modelFile: basename(manifest.model), photos: work.mine.length, already: work.already },
      ...{ producer: `${hostname()} ${process.pid}`, out: resolve(out), folderId: this.#folder },
      exchange: url && token ? { kind: 'http', url, token } : { kind: 'folder', root: this.#paths.root, out: this.#paths.out },
    }
  }

  #jobOptions(left: Bits): Omit<FollowOptions, 'listener'> {
    const { redis, signal, work } = this.options
    return {
      ...{ redis, signal, keys: this.#keys, run: this.id },
      groups: groupsOf(work.mine, jobSize(work.mine.length), (number) => left.has(number)),
      pathOf: (item) => this.#paths.photo(item),
      check: () => {
        if (this.#diskError) throw this.#diskError
        if (this.#lease.isLost) throw new UsageError('dataset: another producer has taken over this folder')
      },
    }
  }

  /** @returns photos that have no results and have not failed: of a run that was drained, or whose workers write elsewhere */
  async #passes(tally: Tally): Promise<Bits> {
    const { work } = this.options
    let left = work.left
    for (let unchanged = 0; left.size && unchanged < 3; ) {
      const finished = await this.#pass(left, tally)
      const before = left.size
      left = await this.#leftInJournal(left)
      for (const number of left) if (tally.hasFailed(number)) left.delete(number)
      tally.settle(work.left, left)
      if (!finished) break // drained
      unchanged = left.size < before ? 0 : unchanged + 1
    }
    return left
  }

  async #leftInJournal(among: Bits): Promise<Bits> {
    const { work, plan, out, results } = this.options
    const journal = await JournalIndex.read(out)
    try {
      return await leftOf(work.mine, among, journal, results.store, plan)
    } finally {
      journal.close()
    }
  }

  /** @returns false if an operator drains the run */
  async #pass(left: Bits, tally: Tally): Promise<boolean> {
    await putRun(this.options.redis, this.#keys, this.#info())
    const follower = new Follower({ ...this.#jobOptions(left), listener: tally })
    this.#follower = follower
    try {
      return await follower.run()
    } catch (error) {
      if (!(error instanceof QueueLost)) throw error
      complain(`clip-es: ${error.message}; it is filled again from the journal`)
      return true
    } finally {
      await Promise.race([follower.close(), new Promise((wake) => setTimeout(wake, 1000).unref())])
    }
  }

  /** Returns the number of photos that nobody did. */
  #reportLeft(left: Bits, progress: Progress, tally: Tally): number {
    const { work, out } = this.options
    let open = 0
    for (const [number, { id }] of work.mine.entries()) {
      if (!left.has(number)) continue
      if (!tally.isDone(number)) {
        open++
        continue
      }
      const message = `a worker says that it is done, but its result is not in ${out}; check that every worker's --root is the same folder`
      progress.listFailure(failedEvent(id, message))
    }
    if (open)
      progress.listFailure({
        text: () => `clip-es: the run was drained; ${counted(open, 'photo')} left: run the same command again to go on`,
        json: () => ({ event: 'drained', left: open }),
      })
    return open
  }

  /** @param keep leave failed photos in the queue, for `clip-es queue retry-failed` */
  async #end(keep: boolean): Promise<void> {
    const { redis, out } = this.options
    const alive = new Set(await redis.smembers(this.#keys.workers))
    for (const worker of alive) if (!(await redis.exists(this.#keys.worker(worker)))) alive.delete(worker)
    removeLeftovers(out, (worker) => alive.has(worker))
    if (!keep) await removeRun(redis, this.#keys, this.id)
  }
}
