// What a queue says of its runs, beside the jobs. A run is what one `clip-es dataset --queue` has to do; each has a BullMQ queue of its own, so
// that a worker that cannot do a run never takes one of its jobs.
import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { RunSettings } from '../results/manifest.js'
import type { OutputKind } from '../results/store.js'
import { messageOf } from '../shared/wording.js'

/** What workers must know of a run. */
export interface RunInfo {
  /** Of this record and of the jobs. */
  format: 1
  id: string
  /** Of clip-es. */
  version: string
  settings: RunSettings
  outputs: readonly OutputKind[]
  /** The model's file name: looked at first in a folder of models. */
  modelFile: string
  /** Photos of the data set, or of this shard of it. */
  photos: number
  /** Those that had results when the run began. */
  already: number
  /** `host process` of the producer, for people. */
  producer: string
  /** The folder of results as the producer calls it, for people. */
  out: string
  /** What the file `journal/folder-id` in the folder of results contains. */
  folderId: string
  /** Where photos are and results go. */
  exchange: SharedFolder | Served
}

/** Photos and results are in a folder that every machine sees. */
export interface SharedFolder {
  kind: 'folder'
  /** Its path on the producer's machine. The journal has photos by this path. */
  root: string
  /** The folder of results, from the root. */
  out: string
}

/** The producer serves photos and takes results by HTTP. */
export interface Served {
  kind: 'http'
  url: string
  token: string
}

/** The keys of a queue in Redis. All begin with `clip-es:NAME:`, and BullMQ's own with `clip-es:NAME:RUN:`. */
export class Keys {
  constructor(readonly name: string) {}

  /** BullMQ's option `prefix`. The name of its queue is the run's id. */
  get prefix(): string {
    return `clip-es:${this.name}`
  }

  /** A hash: run id to RunInfo. */
  get runs(): string {
    return `${this.prefix}:runs`
  }

  /** A set of the ids of workers that have been seen. */
  get workers(): string {
    return `${this.prefix}:workers`
  }

  /** What a worker last said of itself. Expires. */
  worker(id: string): string {
    return `${this.prefix}:worker:${id}`
  }

  /** Who follows a run. Expires. */
  producer(run: string): string {
    return `${this.prefix}:producer:${run}`
  }

  /** Exists while an operator wants the run to end early. */
  drain(run: string): string {
    return `${this.prefix}:drain:${run}`
  }

  /** A hash: what has become of each photo of a job. ledger.ts. */
  photos(run: string, job: string): string {
    return `${this.prefix}:photos:${run}:${job}`
  }
}

/** The same for everybody who works on a part of a folder of results with the same settings. */
export const runId = (folderId: string, settings: string, shard: string): string =>
  createHash('sha256').update(`${folderId} ${settings} ${shard}`).digest('hex').slice(0, 16)

export async function putRun(redis: Redis, keys: Keys, run: RunInfo): Promise<void> {
  await redis.hset(keys.runs, run.id, JSON.stringify(run))
}

export const hasRun = async (redis: Redis, keys: Keys, id: string): Promise<boolean> => (await redis.hexists(keys.runs, id)) === 1

/** The runs of a queue in the order of their ids. Records that another version wrote otherwise are told as errors. */
export async function listRuns(redis: Redis, keys: Keys): Promise<{ runs: RunInfo[]; unread: string[] }> {
  const entries = Object.entries(await redis.hgetall(keys.runs)).sort(([a], [b]) => (a < b ? -1 : 1))
  const runs: RunInfo[] = []
  const unread: string[] = []
  for (const [id, text] of entries) {
    try {
      const run = JSON.parse(text) as RunInfo
      if (run.format !== 1) throw new Error(`its format is ${run.format}; this version reads format 1`)
      runs.push(run)
    } catch (error) {
      unread.push(`run ${id} cannot be read: ${messageOf(error)}`)
    }
  }
  return { runs, unread }
}

/** Milliseconds after which Redis forgets a producer or a worker that does not say any more that it is there. */
export const shortLife = 15_000

/** Milliseconds between two times that it says so. */
export const heartbeat = 4_000

/** Whether somebody follows a run, and how many jobs it has that are not done. */
export interface Occupancy {
  followed: boolean
  waiting: number
  active: number
  failed: number
}

export async function occupancy(redis: Redis, keys: Keys, run: string): Promise<Occupancy> {
  const key = (state: string): string => `${keys.prefix}:${run}:${state}`
  const replies = await redis
    .pipeline()
    .exists(keys.producer(run))
    .llen(key('wait'))
    .llen(key('active'))
    .zcard(key('delayed'))
    .zcard(key('failed'))
    .exec()
  const [followed = 0, wait = 0, active = 0, delayed = 0, failed = 0] = (replies ?? []).map(([, n]) => Number(n))
  return { followed: followed > 0, waiting: wait + delayed, active, failed }
}
