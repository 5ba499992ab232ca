import { hostname } from 'node:os'
import { unlessAborted } from 'clip-es/support'
import type { Redis } from 'ioredis'
import { complain } from '../shared/say.js'
import { UsageError } from '../shared/usage.js'
import { sleep } from '../shared/wait.js'
import { heartbeat, type Keys, shortLife } from './runs.js'

const takeOrRenew = `
local holder = redis.call('GET', KEYS[1])
if not holder or holder == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return ARGV[1]
end
return holder`

const giveBack = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`

/** One producer follows a run. A lease that is not renewed ends, by the clock of Redis: a killed producer holds it for 15 seconds. */
export class Lease {
  readonly #holder = `${hostname()} ${process.pid} ${process.hrtime.bigint()}`
  #timer: NodeJS.Timeout | undefined
  #isLost = false

  constructor(
    readonly redis: Redis,
    readonly keys: Keys,
    readonly run: string,
  ) {}

  /** Whether another producer has taken it, after this one did not answer for a while. */
  get isLost(): boolean {
    return this.#isLost
  }

  /** The holder: this one, or another. */
  async #try(): Promise<string> {
    return (await this.redis.eval(takeOrRenew, 1, this.keys.producer(this.run), this.#holder, shortLife)) as string
  }

  /**
   * Takes the lease and renews it until it is released.
   * @throws UsageError when another producer keeps it
   */
  async take(signal: AbortSignal): Promise<void> {
    const patience = performance.now() + shortLife + 1000
    for (let told = false; ; told = true) {
      const holder = await unlessAborted(signal, this.#try())
      if (holder === this.#holder) break
      const [host, pid] = holder.split(' ')
      if (!told) complain(`clip-es: waits for the producer of this folder, process ${pid} on ${host}, if it was killed`)
      if (performance.now() > patience)
        throw new UsageError(
          `dataset: process ${pid} on ${host} already puts the photos of this folder into the queue; wait for it, or do another part with --shard`,
        )
      await sleep(500, signal)
    }
    this.#timer = setInterval(() => this.#renew(), heartbeat)
  }

  #renew(): void {
    if (this.redis.status !== 'ready') return // it would be done late, and several times
    this.#try()
      .then((holder) => {
        this.#isLost ||= holder !== this.#holder
      })
      .catch(() => undefined) // of the connection, which redis.ts reports
  }

  async release(): Promise<void> {
    clearInterval(this.#timer)
    if (this.redis.status === 'ready') await this.redis.eval(giveBack, 1, this.keys.producer(this.run), this.#holder)
  }
}
