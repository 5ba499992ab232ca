import { Queue } from 'bullmq'
import type { FollowOptions } from './follow.js'
import { type NewJob, newJob } from './jobs.js'
import { putRun, type RunInfo } from './runs.js'

const batch = 100 // jobs in one call of Redis

/**
 * Puts all groups of a run into the queue and does not wait for them. Workers write results and journal; nobody need follow.
 * @returns the number of jobs. BullMQ leaves out those that are in the queue already
 */
export async function enqueue(info: RunInfo, options: Omit<FollowOptions, 'listener'>): Promise<number> {
  const { redis, keys, groups, pathOf, signal, check } = options
  await putRun(redis, keys, info)
  const queue = new Queue(info.id, { connection: redis, prefix: keys.prefix })
  queue.on('error', () => undefined) // redis.ts reports them
  let count = 0
  let jobs: NewJob[] = []
  const flush = async () => {
    signal.throwIfAborted()
    check()
    count += (await queue.addBulk(jobs)).length
    jobs = []
  }
  try {
    for (const group of groups) {
      const job = newJob(info.id, group, pathOf)
      jobs.push({ ...job, opts: { ...job.opts, removeOnComplete: true } })
      if (jobs.length === batch) await flush()
    }
    if (jobs.length) await flush()
    return count
  } finally {
    await queue.close()
  }
}
