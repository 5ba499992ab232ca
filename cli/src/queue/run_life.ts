import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { settingsHash } from '../results/manifest.js'
import type { JobData } from './jobs.js'
import { Ledgers } from './ledger.js'
import { type Keys, listRuns } from './runs.js'

/** What `work` gives, with the BullMQ queue of a run. */
export async function withQueue<T>(
  redis: Redis,
  keys: Keys,
  run: string,
  work: (queue: Queue<JobData>) => Promise<T>,
): Promise<T> {
  const queue = new Queue<JobData>(run, { connection: redis, prefix: keys.prefix })
  queue.on('error', () => undefined) // redis.ts reports them
  try {
    return await work(queue)
  } finally {
    await queue.close()
  }
}

/** Removes a run with all its jobs. Workers that are at one of them end it, and nobody is told. */
export async function removeRun(redis: Redis, keys: Keys, run: string): Promise<void> {
  await redis.hdel(keys.runs, run)
  await withQueue(redis, keys, run, (queue) => queue.obliterate({ force: true }))
  await redis.del(keys.drain(run))
  for await (const found of redis.scanStream({ match: keys.photos(run, '*'), count: 1000 }))
    if ((found as string[]).length) await redis.unlink(...(found as string[]))
}

/** Removes the runs that make results with other settings in the same folder. */
export async function removeOtherRuns(redis: Redis, keys: Keys, folderId: string, settings: string): Promise<void> {
  for (const run of (await listRuns(redis, keys)).runs)
    if (run.folderId === folderId && settingsHash(run.settings) !== settings) await removeRun(redis, keys, run.id)
}

/** Removes the runs of a folder of results. */
export async function removeRunsOf(redis: Redis, keys: Keys, folderId: string): Promise<void> {
  for (const run of (await listRuns(redis, keys)).runs) if (run.folderId === folderId) await removeRun(redis, keys, run.id)
}

/** Removes what an earlier producer of the run has left: jobs that have ended, and an operator's wish to drain it. */
export async function clearFinished(redis: Redis, keys: Keys, run: string): Promise<void> {
  await redis.del(keys.drain(run))
  const ledgers = new Ledgers(redis, keys, run)
  await withQueue(redis, keys, run, async (queue) => {
    for (;;) {
      const ids = await queue.getRanges(['completed', 'failed'], 0, 499)
      if (!ids.length) return
      await Promise.all(ids.map((id) => queue.remove(id)))
      await ledgers.remove(...ids)
    }
  })
}

/** Puts the failed jobs of a run back into the queue: only their failed photos are done again. Returns the number of these photos. */
export async function retryFailed(redis: Redis, keys: Keys, run: string): Promise<number> {
  const ledgers = new Ledgers(redis, keys, run)
  return await withQueue(redis, keys, run, async (queue) => {
    let photos = 0
    for (const id of await queue.getRanges(['failed'], 0, -1)) {
      const job = await queue.getJob(id)
      if (job?.id === undefined) continue
      photos += await ledgers.forgiveFailures(job.id)
      await job.retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true })
    }
    return photos
  })
}

/** Removes the jobs that wait. Those in work are finished. Returns the number of jobs removed. */
export async function drain(redis: Redis, keys: Keys, run: string): Promise<number> {
  await redis.set(keys.drain(run), '1')
  return await withQueue(redis, keys, run, async (queue) => {
    const { waiting = 0, delayed = 0 } = await queue.getJobCounts('waiting', 'delayed')
    await queue.drain(true)
    return waiting + delayed
  })
}
