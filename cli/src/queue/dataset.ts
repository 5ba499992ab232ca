import type { Work } from '../dataset/left.js'
import type { DatasetOptions } from '../dataset/options.js'
import type { Plan } from '../dataset/run.js'
import { failedEvent, Progress, sayEnd, sayStart } from '../pipeline/progress.js'
import type { Results } from '../results/store.js'
import { say } from '../shared/say.js'
import { Stopped } from '../shared/stop.js'
import { counted } from '../shared/wording.js'
import { Producer } from './producer.js'
import { connect, shownUrl } from './redis.js'

/** Does the photos that are left by workers at other machines. False when any photo failed. */
export async function byQueue(
  plan: Plan,
  work: Work,
  results: Results,
  options: DatasetOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const redis = await connect(options.queue as string)
  try {
    const { name, out, root, servePhotos, json, detach } = options
    const producer = new Producer({ redis, name, plan, work, results, out, root, servePhotos, signal })
    return await producer.run(async () => {
      sayStart(work.left.size, work.already, out, json)
      for (const note of work.notes) if (!json) say(note)
      const progress = new Progress(detach ? 0 : work.left.size, json ? 'json' : 'text')
      for (const { id, message } of work.failures) progress.listFailure(failedEvent(id, message))
      return await (detach ? enqueueAll : followAll)(producer, work, options, progress)
    })
  } finally {
    redis.disconnect() // also when it does not answer
  }
}

type Way = (producer: Producer, work: Work, options: DatasetOptions, progress: Progress) => Promise<boolean>

const enqueueAll: Way = async (producer, { left, already, failures }, { queue, json }) => {
  const jobs = await producer.enqueue()
  if (json) say(JSON.stringify({ event: 'queued', photos: left.size, jobs, already, run: producer.id }))
  else
    say(
      `${counted(left.size, 'photo')} in ${counted(jobs, 'job')} in the queue; clip-es queue status ${shownUrl(queue as string)} tells how far they are`,
    )
  return failures.length === 0
}

const followAll: Way = async (producer, { already }, options, progress) => {
  try {
    await producer.follow(progress)
  } catch (error) {
    throw withProgress(error, progress, options)
  } finally {
    progress.stop()
  }
  sayEnd(progress, already, options.json)
  return progress.failures === 0
}

function withProgress(error: unknown, progress: Progress, { out, servePhotos }: DatasetOptions): unknown {
  if (!(error instanceof Stopped)) return error
  const state = `${progress.succeeded} of ${counted(progress.total, 'photo')} done; results are in ${out}`
  const goOn = servePhotos ? 'workers wait' : 'workers go on with what is in the queue'
  return new Stopped(`${error.message}; ${state}; ${goOn}: run the same command to follow them`, error.status)
}
