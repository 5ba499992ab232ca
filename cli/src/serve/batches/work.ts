import { existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Segmenter } from 'clip-es'
import { forEachInOrder, packageVersion, writeWhole } from 'clip-es/support'
import type { BatchContext, BatchFailure, BatchState } from 'clip-es-server'
import type { Redis } from 'ioredis'
import { findWork } from '../../dataset/left.js'
import { jobOf } from '../../dataset/plan.js'
import type { Plan } from '../../dataset/run.js'
import { Progress } from '../../pipeline/progress.js'
import { Producer } from '../../queue/producer.js'
import { Journal } from '../../results/journal.js'
import type { Manifest, RunSettings } from '../../results/manifest.js'
import { ResultStore } from '../../results/store.js'
import { messageOf } from '../../shared/wording.js'
import type { DatasetItem } from '../../sources/dataset.js'
import { PhotoList } from '../../sources/photo_list.js'
import type { BatchRecord, BatchRecords } from './record.js'
import { indicesOf } from './settings.js'

export interface WorkContext extends BatchContext {
  redis: Redis
  /** Of the queue. */
  name: string
  records: BatchRecords
}

const fetchesAtATime = 4
const mostFailures = 100 // that are told
const shard = '1-of-1'

/** A batch while it is worked on. */
export class BatchWork {
  #phase: BatchState['state'] = 'waiting'
  #already = 0
  #failed = 0
  readonly #failures: BatchFailure[] = []
  #progress: Progress | undefined
  readonly #folder: string

  constructor(
    readonly record: BatchRecord,
    readonly context: WorkContext,
  ) {
    this.#folder = context.records.folder(record.state.id)
  }

  get state(): BatchState {
    return {
      ...this.record.state,
      state: this.#phase,
      done: this.#already + (this.#progress?.succeeded ?? 0),
      failed: this.#failed,
      failures: this.#failures,
    }
  }

  /** Does the batch to its end, or throws the reason of the signal. Returns how it has ended. */
  async run(signal: AbortSignal): Promise<BatchState> {
    let ended: Pick<BatchState, 'state' | 'message'>
    try {
      this.#phase = 'fetching'
      const photos = await this.#fetchAll(signal)
      this.#phase = 'running'
      const open = await this.#follow(photos, signal)
      ended = open
        ? { state: 'failed', message: `an operator drained the queue when ${open} photos were left; send them again` }
        : { state: 'done' }
    } catch (error) {
      signal.throwIfAborted()
      ended = { state: 'failed', message: messageOf(error) }
    }
    return { ...this.state, ...ended, ended: new Date().toISOString() }
  }

  #fail(photo: string, message: string): void {
    this.#failed++
    if (this.#failures.length < mostFailures) this.#failures.push({ photo, message })
  }

  /** The photos that are there, or could be fetched. */
  async #fetchAll(signal: AbortSignal): Promise<DatasetItem[]> {
    const { records, fetchPhoto } = this.context
    const items: DatasetItem[] = []
    await forEachInOrder(this.record.photos, fetchesAtATime, signal, async ({ name, path, url, labels }) => {
      const photo = path === undefined ? join(this.#folder, 'photos', name) : join(records.root, path)
      try {
        if (url !== undefined && !existsSync(photo)) {
          const bytes = await fetchPhoto(url, signal)
          mkdirSync(dirname(photo), { recursive: true })
          writeWhole(photo, bytes)
        }
        items.push({ id: name, photo, ...this.#labels(labels) })
      } catch (error) {
        signal.throwIfAborted()
        this.#fail(name, messageOf(error))
      }
    })
    return items.sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  #labels(own: readonly (string | number)[] | undefined): Pick<DatasetItem, 'labels'> {
    const { labels, settings } = this.record
    const names = settings.classes.map(({ name }) => name)
    if (own) return { labels: indicesOf(own, names) }
    return labels ? { labels: [...labels] } : {}
  }

  /** Has the photos computed. Returns the number of those that nobody did. */
  async #follow(photos: readonly DatasetItem[], signal: AbortSignal): Promise<number> {
    const { redis, name, records, segmenter } = this.context
    const out = this.#folder
    const plan = await planOf(this.record, segmenter, signal)
    const journal = new Journal(out, shard)
    const store = new ResultStore(out, shard)
    const items = new PhotoList(photos)
    try {
      const work = await findWork(plan, { items, failures: [], notes: [] }, store, { out, overwrite: false })
      this.#already = work.already
      this.#progress = new Progress(work.left.size, 'silent')
      const options = { redis, name, plan, work, results: { store, journal }, out, root: records.root, signal }
      const producer = new Producer(options)
      const onFailed = ({ id }: DatasetItem, message: string) => this.#fail(id, message)
      return await producer
        .run(() => producer.follow(this.#progress as Progress, { onFailed, keepFailed: false }))
        .finally(() => work.mine.close())
    } finally {
      items.close()
      store.close()
      journal.close()
    }
  }
}

async function planOf({ settings }: BatchRecord, segmenter: Segmenter, signal: AbortSignal): Promise<Plan> {
  const job = await jobOf(segmenter, settings, ['mask'], signal)
  const manifest: Manifest<RunSettings> = {
    ...{ format: 1, version: packageVersion(), model: segmenter.model.path },
    ...{ source: { kind: 'batch' }, settings },
  }
  return { manifest, job, outputs: job.outputs, settings: job.settings }
}
