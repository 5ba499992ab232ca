import { randomUUID } from 'node:crypto'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ClipEsError, defaults } from 'clip-es'
import { unlessAborted } from 'clip-es/support'
import type { BatchBackend, BatchState, BatchTask, StartBatches } from 'clip-es-server'
import { jobOf } from '../../dataset/plan.js'
import { connect } from '../../queue/redis.js'
import { removeRunsOf } from '../../queue/run_life.js'
import { Keys } from '../../queue/runs.js'
import { readFolderId } from '../../results/folder_id.js'
import { resultFile } from '../../results/store.js'
import { complain } from '../../shared/say.js'
import { messageOf } from '../../shared/wording.js'
import { type BatchRecord, BatchRecords, batchesFolder } from './record.js'
import { checkPhotos, commonLabels, indicesOf, settingsOf } from './settings.js'
import { BatchWork, type WorkContext } from './work.js'

export interface BatchOptions {
  /** URL of the Redis of the queue. */
  url: string
  /** Of the queue. */
  name: string
  /** The folder with photos and results that every worker sees. */
  root: string
  /** As the server's model was loaded. */
  maxSide?: number
}

const atATime = 8 // batches that are followed; each has connections of its own

interface Active {
  work: BatchWork
  stop: AbortController
  /** Resolves when nothing of it runs any more. */
  ended: Promise<void>
}

/** Batches go into the queue of `clip-es worker`, each as a run of its own. */
export function startBatches({ url, name, root, maxSide = defaults.maxSide }: BatchOptions): StartBatches {
  return async (context) => {
    const redis = await connect(url)
    const backend = new QueueBatches({ ...context, redis, name, records: new BatchRecords(root) }, maxSide)
    backend.resume()
    return backend
  }
}

class QueueBatches implements BatchBackend {
  readonly #active = new Map<string, Active>()
  /** Those that wait for a place. */
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(
    readonly context: WorkContext,
    readonly maxSide: number,
  ) {}

  /** Goes on with what an earlier server has left. */
  resume(): void {
    for (const record of this.context.records.all())
      if (!record.state.ended || (record.callback !== undefined && !record.told)) this.#begin(record)
  }

  async add(task: BatchTask, signal: AbortSignal): Promise<BatchState> {
    const { segmenter, records, mostBatches } = this.context
    if (this.#active.size >= mostBatches)
      throw new ClipEsError(
        'ERR_QUEUE_FULL',
        `${this.#active.size} batches have not ended, which is the limit; send it again later`,
      )
    const settings = settingsOf(task, segmenter, this.maxSide)
    const names = settings.classes.map(({ name }) => name)
    for (const { labels } of task.photos) if (labels) indicesOf(labels, names)
    checkPhotos(task.photos, records.root)
    await jobOf(segmenter, settings, ['mask'], signal) // refuses classes and options that are wrong
    const id = randomUUID()
    for (const { name } of task.photos) resultFile(records.folder(id), 'mask', name)
    const labels = commonLabels(task)
    const record: BatchRecord = {
      ...{ format: 1, photos: task.photos, settings },
      ...(labels && { labels }),
      ...(task.callback !== undefined && { callback: task.callback }),
      state: {
        ...{ id, state: 'waiting', created: new Date().toISOString(), photos: task.photos.length, done: 0, failed: 0 },
        ...{ failures: [], folder: `${batchesFolder}/${id}` },
      },
    }
    records.write(record)
    return this.#begin(record).state
  }

  get(id: string): BatchState | undefined {
    const active = this.#active.get(id)
    return active && !active.work.record.state.ended ? active.work.state : this.context.records.read(id)?.state
  }

  mask(id: string, name: string): string | undefined {
    const file = resultFile(this.context.records.folder(id), 'mask', name)
    return existsSync(file) ? file : undefined
  }

  async remove(id: string): Promise<boolean> {
    const { records, redis, name } = this.context
    if (!records.read(id)) return false
    const active = this.#active.get(id)
    active?.stop.abort(new Error('the batch was deleted'))
    await active?.ended
    const folder = records.folder(id)
    const folderId = existsSync(join(folder, 'journal')) ? readFolderId(folder) : undefined
    if (folderId !== undefined) await removeRunsOf(redis, new Keys(name), folderId)
    rmSync(folder, { recursive: true, force: true })
    return true
  }

  async close(): Promise<void> {
    for (const { stop } of this.#active.values()) stop.abort(new Error('the server is closing'))
    await Promise.all([...this.#active.values()].map(({ ended }) => ended))
    this.context.redis.disconnect()
  }

  #begin(record: BatchRecord): BatchWork {
    const work = new BatchWork(record, this.context)
    const stop = new AbortController()
    const ended = this.#run(work, stop.signal)
      .catch((error) => {
        if (!stop.signal.aborted) complain(`clip-es: the batch ${record.state.id}: ${messageOf(error)}`)
      })
      .finally(() => this.#active.delete(record.state.id))
    this.#active.set(record.state.id, { work, stop, ended })
    return work
  }

  async #run(work: BatchWork, signal: AbortSignal): Promise<void> {
    const { record } = work
    const { records } = this.context
    if (!record.state.ended) {
      await this.#takePlace(signal)
      try {
        record.state = await work.run(signal)
      } finally {
        this.#leavePlace()
      }
      records.write(record)
    }
    if (record.callback === undefined) return
    try {
      await this.context.callBack(record.callback, record.state, signal)
    } catch (error) {
      signal.throwIfAborted()
      record.state = { ...record.state, message: `the callback could not be sent: ${messageOf(error)}` }
    }
    record.told = true
    records.write(record)
  }

  /** Waits for one of the places in which batches are followed. */
  async #takePlace(signal: AbortSignal): Promise<void> {
    while (this.#running >= atATime) await unlessAborted(signal, new Promise<void>((wake) => this.#waiting.push(wake)))
    signal.throwIfAborted()
    this.#running++
  }

  #leavePlace(): void {
    this.#running--
    for (const wake of this.#waiting.splice(0)) wake()
  }
}
