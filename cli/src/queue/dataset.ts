import { hostname } from 'node:os'
import { basename, isAbsolute, relative, resolve, sep } from 'node:path'
import { packageVersion } from 'clip-es/support'
import type { Redis } from 'ioredis'
import { leftOf, type Work } from '../dataset/left.js'
import type { DatasetOptions } from '../dataset/options.js'
import { failedEntry, folderExchange } from '../dataset/photo.js'
import type { Plan } from '../dataset/run.js'
import { failedEvent, Progress, sayEnd, sayStart } from '../pipeline/progress.js'
import { folderId } from '../results/folder_id.js'
import { readJournal } from '../results/journal.js'
import { removeLeftovers } from '../results/leftovers.js'
import type { Results } from '../results/store.js'
import { complain, say } from '../shared/say.js'
import { Stopped } from '../shared/stop.js'
import { UsageError } from '../shared/usage.js'
import { counted } from '../shared/wording.js'
import type { DatasetItem } from '../sources/dataset.js'
import { enqueue } from './enqueue.js'
import { Follower, type FollowOptions, QueueLost } from './follow.js'
import { type PhotoServer, servePhotos } from './http_server.js'
import { groupsOf, jobSize } from './jobs.js'
import { Lease } from './lease.js'
import { connect, shownUrl } from './redis.js'
import { clearFinished, removeOtherRuns, removeRun } from './run_life.js'
import { Keys, putRun, type RunInfo, runId } from './runs.js'
import { Tally } from './tally.js'

/** Does the photos that are left by workers at other machines. False when any photo failed. */
export async function byQueue(
  plan: Plan,
  work: Work,
  results: Results,
  options: DatasetOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const paths = new Paths(options)
  const redis = await connect(options.queue as string)
  try {
    return await new QueueRun(redis, paths, plan, work, results, options, signal).run()
  } finally {
    redis.disconnect() // also when it does not answer
  }
}

/** Paths from the root, which is another folder on each machine. */
class Paths {
  readonly root: string
  readonly out: string

  /** @throws UsageError when the folder of results is elsewhere */
  constructor(readonly options: DatasetOptions) {
    this.root = resolve(options.root ?? '.')
    this.out = options.servePhotos ? '' : this.fromRoot(resolve(options.out), 'the folder of results')
  }

  fromRoot(path: string, what: string): string {
    const below = relative(this.root, path)
    if (below === '..' || below.startsWith(`..${sep}`) || isAbsolute(below))
      throw new UsageError(
        `dataset: ${what} ${path} is not in ${this.root}; name a folder with --root that contains photos and results on every machine, or send them with --serve-photos`,
      )
    return below.replaceAll(sep, '/')
  }

  /** How a job names a photo. */
  photo({ photo, id }: DatasetItem): string {
    return this.options.servePhotos ? id : this.fromRoot(photo, 'the photo')
  }
}

/** One `clip-es dataset --queue`. */
class QueueRun {
  readonly #keys: Keys
  readonly #lease: Lease
  readonly #folder: string
  readonly #id: string
  #follower: Follower | undefined
  #diskError: Error | undefined

  constructor(
    readonly redis: Redis,
    readonly paths: Paths,
    readonly plan: Plan,
    readonly work: Work,
    readonly results: Results,
    readonly options: DatasetOptions,
    readonly signal: AbortSignal,
  ) {
    this.#keys = new Keys(options.name)
    this.#folder = folderId(options.out)
    this.#id = runId(this.#folder, plan.settings, results.journal.shard)
    this.#lease = new Lease(redis, this.#keys, this.#id)
  }

  async run(): Promise<boolean> {
    await this.#lease.take(this.signal)
    const server = this.options.servePhotos ? await this.#serve() : undefined
    try {
      await removeOtherRuns(this.redis, this.#keys, this.#folder, this.plan.settings)
      await clearFinished(this.redis, this.#keys, this.#id)
      const { left, already, notes } = this.work
      const { out, json } = this.options
      sayStart(left.length, already, out, json)
      for (const note of notes) if (!json) say(note)
      return this.options.detach ? await this.#detach() : await this.#follow(server)
    } finally {
      await server?.close()
      if (this.redis.status === 'ready') await this.#lease.release()
    }
  }

  #serve(): Promise<PhotoServer> {
    const { plan, results, options } = this
    return servePhotos({
      address: options.servePhotos as NonNullable<DatasetOptions['servePhotos']>,
      exchange: folderExchange(results, plan.outputs),
      outputs: plan.outputs,
      settings: plan.settings,
      photo: (job, place) => this.#follower?.photo(job, place),
      onDiskError: (error) => {
        this.#diskError ??= error
      },
    })
  }

  #info(server?: PhotoServer): RunInfo {
    const { manifest, outputs } = this.plan
    const { root, out } = this.paths
    const { url, token } = server ?? {}
    return {
      ...{ format: 1, id: this.#id, version: packageVersion(), settings: manifest.settings, outputs },
      ...{ modelFile: basename(manifest.model), photos: this.work.mine.length, already: this.work.already },
      ...{ producer: `${hostname()} ${process.pid}`, out: resolve(this.options.out), folderId: this.#folder },
      exchange: url && token ? { kind: 'http', url, token } : { kind: 'folder', root, out },
    }
  }

  #followOptions(left: readonly DatasetItem[], tally: Tally): FollowOptions {
    const { redis, signal, paths, work } = this
    const wanted = new Set(left)
    return {
      ...{ redis, signal, keys: this.#keys, run: this.#id },
      groups: groupsOf(work.mine, jobSize(work.mine.length), (item) => wanted.has(item)),
      pathOf: (item) => paths.photo(item),
      listener: tally,
      check: async () => {
        if (this.#diskError) throw this.#diskError
        if (!(await this.#lease.renew())) throw new UsageError('dataset: another producer has taken over this folder')
      },
    }
  }

  async #detach(): Promise<boolean> {
    const { left, failures, already } = this.work
    const progress = new Progress(0, this.options.json ? 'json' : 'text')
    for (const { id, message } of failures) progress.listFailure(failedEvent(id, message))
    const options = this.#followOptions(left, new Tally(progress, this.plan.job.classes))
    const jobs = left.length ? await enqueue(this.#info(), options) : 0
    const queue = shownUrl(this.options.queue as string)
    if (this.options.json) say(JSON.stringify({ event: 'queued', photos: left.length, jobs, already, run: this.#id }))
    else
      say(
        `${counted(left.length, 'photo')} in ${counted(jobs, 'job')} in the queue; clip-es queue status ${queue} tells how far they are`,
      )
    return failures.length === 0
  }

  /** Until nothing is left. What Redis loses is found in the journal and put into the queue again. */
  async #follow(server: PhotoServer | undefined): Promise<boolean> {
    const { work, plan, options } = this
    const progress = new Progress(work.left.length, options.json ? 'json' : 'text')
    const tally = new Tally(progress, plan.job.classes, (item, message) => {
      if (server) this.results.journal.add(failedEntry(item, plan.settings, message)) // else the worker has written it
    })
    try {
      for (const { id, message } of work.failures) progress.listFailure(failedEvent(id, message))
      const left = await this.#passes(tally, server)
      this.#reportLeft(left, progress, tally)
    } catch (error) {
      throw this.#withProgress(error, progress)
    } finally {
      progress.stop()
    }
    sayEnd(progress, work.already, options.json)
    await this.#end(tally.failures > 0 && !server)
    return progress.failures === 0
  }

  /** @returns photos that have no results and have not failed: of a run that was drained, or whose workers write elsewhere */
  async #passes(tally: Tally, server: PhotoServer | undefined): Promise<readonly DatasetItem[]> {
    const { work, plan, options, results } = this
    let left = work.left
    for (let unchanged = 0; left.length && unchanged < 3; ) {
      const finished = await this.#pass(left, tally, server)
      const before = left.length
      left = leftOf(left, readJournal(options.out), results.store, plan).filter((item) => !tally.hasFailed(item))
      tally.settle(work.left, left)
      if (!finished) break // drained
      unchanged = left.length < before ? 0 : unchanged + 1
    }
    return left
  }

  /** @returns false if an operator drains the run */
  async #pass(left: readonly DatasetItem[], tally: Tally, server: PhotoServer | undefined): Promise<boolean> {
    await putRun(this.redis, this.#keys, this.#info(server))
    const follower = new Follower(this.#followOptions(left, tally))
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

  #reportLeft(left: readonly DatasetItem[], progress: Progress, tally: Tally): void {
    for (const item of left) {
      if (!tally.isDone(item)) continue
      const message = `a worker says that it is done, but its result is not in ${this.options.out}; check that every worker's --root is the same folder`
      progress.listFailure(failedEvent(item.id, message))
    }
    const open = left.filter((item) => !tally.isDone(item)).length
    if (open)
      progress.listFailure({
        text: () => `clip-es: the run was drained; ${counted(open, 'photo')} left: run the same command again to go on`,
        json: () => ({ event: 'drained', left: open }),
      })
  }

  #withProgress(error: unknown, progress: Progress): unknown {
    if (!(error instanceof Stopped)) return error
    const state = `${progress.succeeded} of ${counted(progress.total, 'photo')} done; results are in ${this.options.out}`
    const goOn = this.options.servePhotos ? 'workers wait' : 'workers go on with what is in the queue'
    return new Stopped(`${error.message}; ${state}; ${goOn}: run the same command to follow them`, error.status)
  }

  /** @param keep leave failed photos in the queue, for `clip-es queue retry-failed` */
  async #end(keep: boolean): Promise<void> {
    const alive = new Set(await this.redis.smembers(this.#keys.workers))
    for (const worker of alive) if (!(await this.redis.exists(this.#keys.worker(worker)))) alive.delete(worker)
    removeLeftovers(this.options.out, (worker) => alive.has(worker))
    if (!keep) await removeRun(this.redis, this.#keys, this.#id)
  }
}
