import { createServer, type Server } from 'node:http'
import { hostname } from 'node:os'
import { packageVersion } from 'clip-es/support'
import type { Redis } from 'ioredis'
import type { PhotoOutcome } from '../queue/jobs.js'
import type { Address } from '../queue/options.js'
import { type Keys, shortLife } from '../queue/runs.js'

/** What a worker says of itself to `clip-es queue status`. */
export interface WorkerState {
  id: string
  host: string
  pid: number
  version: string
  /** Seconds since it began. */
  seconds: number
  done: number
  failed: number
  jobs: number
  /** Jobs that it could not do, and gave back. */
  returned: number
  /** The run that it works on. */
  run?: string
  /** Why it does not work on others. */
  refused: string[]
}

/** Counts what a worker does, and tells it to Redis and at /metrics. */
export class Counts {
  readonly #start = performance.now()
  readonly refused = new Map<string, string>()
  done = 0
  failed = 0
  jobs = 0
  returned = 0
  run: string | undefined

  constructor(readonly id: string) {}

  photo = (outcome: PhotoOutcome): void => {
    if ('failed' in outcome) this.failed++
    else this.done++
  }

  get state(): WorkerState {
    const { id, done, failed, jobs, returned, run, refused } = this
    return {
      ...{ id, host: hostname(), pid: process.pid, version: packageVersion() },
      seconds: Math.round((performance.now() - this.#start) / 1000),
      ...{ done, failed, jobs, returned, run, refused: [...refused.values()] },
    }
  }

  /** The text format of Prometheus. */
  metrics(connected: boolean): string {
    const values: readonly (readonly [name: string, type: string, help: string, lines: readonly string[]])[] = [
      ['photos_total', 'counter', 'Photos that ended', [`{outcome="done"} ${this.done}`, `{outcome="failed"} ${this.failed}`]],
      ['jobs_total', 'counter', 'Jobs that ended', [` ${this.jobs}`]],
      ['jobs_returned_total', 'counter', 'Jobs that went back to the queue', [` ${this.returned}`]],
      ['runs_refused', 'gauge', 'Runs that this worker cannot do', [` ${this.refused.size}`]],
      ['working', 'gauge', '1 while it takes jobs of a run', [` ${this.run === undefined ? 0 : 1}`]],
      ['redis_connected', 'gauge', '1 while Redis answers', [` ${connected ? 1 : 0}`]],
      ['uptime_seconds', 'gauge', 'Since the worker began', [` ${this.state.seconds}`]],
      ['memory_bytes', 'gauge', 'Resident memory', [` ${process.memoryUsage.rss()}`]],
    ]
    return values
      .map(([name, type, help, lines]) => {
        const full = `clip_es_worker_${name}`
        return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${lines.map((line) => `${full}${line}\n`).join('')}`
      })
      .join('')
  }
}

/**
 * Tells Redis every few seconds that this worker is there. Returns what ends it.
 *
 * @param stalledAfter milliseconds after which another worker takes the job of one that was killed. Redis forgets the killed one before, so that
 * the producer removes its unfinished file at the end, however soon that is
 */
export function beat(redis: Redis, keys: Keys, counts: Counts, stalledAfter: number): () => void {
  const life = Math.min(shortLife, stalledAfter / 2)
  const say = () => {
    if (redis.status !== 'ready') return // it would be told late
    const { id } = counts
    redis
      .multi()
      .sadd(keys.workers, id)
      .set(keys.worker(id), JSON.stringify(counts.state), 'PX', life)
      .exec()
      .catch(() => undefined)
  }
  say()
  const timer = setInterval(say, life / 4)
  return () => {
    clearInterval(timer)
    if (redis.status === 'ready')
      redis
        .multi()
        .srem(keys.workers, counts.id)
        .del(keys.worker(counts.id))
        .exec()
        .catch(() => undefined)
  }
}

/** Serves /metrics and /health. @throws the error of the network */
export async function serveMetrics({ host, port }: Address, counts: Counts, redis: Redis): Promise<Server> {
  const server = createServer((request, response) => {
    const connected = redis.status === 'ready'
    const [status, text] =
      request.url === '/metrics'
        ? [200, counts.metrics(connected)]
        : request.url === '/health'
          ? [connected ? 200 : 503, connected ? 'ok\n' : 'Redis does not answer\n']
          : [404, 'There are /metrics and /health.\n']
    response.writeHead(status, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  return server
}
