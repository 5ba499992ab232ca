import type { Redis } from 'ioredis'
import { say } from '../shared/say.js'
import { UsageError } from '../shared/usage.js'
import { counted } from '../shared/wording.js'
import type { OperateOptions, Operation } from './command.js'
import { connect } from './redis.js'
import { drain, removeRun, retryFailed, withQueue } from './run_life.js'
import { Keys, listRuns, occupancy } from './runs.js'

type Work = (redis: Redis, keys: Keys, run: string) => Promise<string>

const works: Readonly<Record<Operation, Work>> = {
  async pause(redis, keys, run) {
    await withQueue(redis, keys, run, (queue) => queue.pause())
    return 'paused; workers finish their jobs'
  },
  async resume(redis, keys, run) {
    await withQueue(redis, keys, run, (queue) => queue.resume())
    return 'resumed'
  },
  async drain(redis, keys, run) {
    const jobs = await drain(redis, keys, run)
    const { followed, active } = await occupancy(redis, keys, run)
    if (!followed && !active) await removeRun(redis, keys, run)
    return `drained: ${counted(jobs, 'waiting job')} removed`
  },
  'retry-failed': async (redis, keys, run) => {
    const photos = await retryFailed(redis, keys, run)
    return photos ? `${counted(photos, 'failed photo')} will be done again` : 'no photo has failed'
  },
}

/** Does something with the runs of a queue, or with one of them. */
export async function operate(operation: Operation, { url, name, run }: OperateOptions): Promise<void> {
  const redis = await connect(url)
  try {
    const keys = new Keys(name)
    const { runs } = await listRuns(redis, keys)
    const chosen = runs.filter(({ id }) => id.startsWith(run ?? ''))
    if (!chosen.length && run !== undefined)
      throw new UsageError(
        `queue ${operation}: the queue '${name}' has no run ${run}; there are ${runs.map(({ id }) => id).join(', ') || 'none'}`,
      )
    if (!chosen.length) say(`no run in the queue '${name}'`)
    for (const { id } of chosen) say(`run ${id}: ${await works[operation](redis, keys, id)}`)
  } finally {
    redis.disconnect()
  }
}
