import type { Redis } from 'ioredis'
import { oneLine, say } from '../shared/say.js'
import { counted } from '../shared/wording.js'
import type { WorkerState } from '../worker/state.js'
import type { StatusOptions } from './command.js'
import { connect } from './redis.js'
import { withQueue } from './run_life.js'
import { Keys, listRuns, type RunInfo } from './runs.js'

/** What is known of a run. */
export interface RunStatus {
  id: string
  out: string
  /** Of clip-es. */
  version: string
  photos: number
  already: number
  /** Whether a producer follows it. */
  followed: boolean
  producer: string
  paused: boolean
  draining: boolean
  jobs: { waiting: number; active: number; failed: number }
}

export interface QueueStatus {
  runs: RunStatus[]
  workers: WorkerState[]
}

/** The state of a queue. */
export async function status(redis: Redis, keys: Keys): Promise<QueueStatus> {
  const { runs } = await listRuns(redis, keys)
  return { runs: await Promise.all(runs.map((run) => runStatus(redis, keys, run))), workers: await workersOf(redis, keys) }
}

async function runStatus(redis: Redis, keys: Keys, run: RunInfo): Promise<RunStatus> {
  const { id, out, version, photos, already, producer } = run
  const [followed, draining] = await Promise.all([redis.exists(keys.producer(id)), redis.exists(keys.drain(id))])
  return await withQueue(redis, keys, id, async (queue) => {
    const {
      waiting = 0,
      delayed = 0,
      active = 0,
      failed = 0,
    } = await queue.getJobCounts('waiting', 'delayed', 'active', 'failed')
    return {
      ...{ id, out, version, photos, already, producer, followed: followed === 1, draining: draining === 1 },
      paused: await queue.isPaused(),
      jobs: { waiting: waiting + delayed, active, failed },
    }
  })
}

/** The workers that are there. Forgets the others. */
async function workersOf(redis: Redis, keys: Keys): Promise<WorkerState[]> {
  const workers: WorkerState[] = []
  for (const id of (await redis.smembers(keys.workers)).sort()) {
    const text = await redis.get(keys.worker(id))
    if (text === null) await redis.srem(keys.workers, id)
    else workers.push(JSON.parse(text) as WorkerState)
  }
  return workers
}

export async function printStatus({ url, name, json }: StatusOptions): Promise<void> {
  const redis = await connect(url)
  try {
    const found = await status(redis, new Keys(name))
    if (json) say(JSON.stringify(found))
    else for (const line of statusLines(found, name)) say(line)
  } finally {
    redis.disconnect()
  }
}

/** The same for people. */
export function statusLines({ runs, workers }: QueueStatus, name: string): string[] {
  const lines = runs.length ? runs.map(runLine) : [`no run in the queue '${name}'`]
  return [...lines, workers.length ? `${counted(workers.length, 'worker')}:` : 'no worker', ...workers.flatMap(workerLines)]
}

function runLine(run: RunStatus): string {
  const { waiting, active, failed } = run.jobs
  const marks = [run.paused ? 'paused' : '', run.draining ? 'draining' : '', run.followed ? '' : 'no producer follows it'].filter(
    Boolean,
  )
  const jobs = `jobs: ${waiting} wait, ${active} in work, ${failed} failed`
  const already = run.already ? ` (${run.already} done before)` : ''
  return `run ${run.id}: ${counted(run.photos, 'photo')}${already}, ${jobs}${marks.length ? `; ${marks.join(', ')}` : ''}; ${oneLine(run.out)}`
}

function workerLines({ id, version, done, failed, seconds, run, refused }: WorkerState): string[] {
  const work = run === undefined ? 'waits' : `works on ${run}`
  return [
    `  ${oneLine(id)} (clip-es ${version}) ${work}: ${counted(done, 'photo')} done, ${failed} failed in ${seconds} s`,
    ...refused.map((reason) => `    refuses: ${oneLine(reason)}`),
  ]
}
