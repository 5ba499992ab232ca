// npx tsx test/machines/many_faults.ts [FAULTS] [PHOTOS] [SEED] [aof]: a data set of small photos by three workers, while processes are killed and stopped at
// random: workers, producer, Redis. What ends is started again, as an operator's service manager would do. At the end nothing is lost, nothing is
// doubled, and there is no half file: the results are those of one process, byte for byte. Takes some minutes.
import * as assert from 'uvu/assert'
import { randomNumbers } from '../e2e/demo_set.js'
import { type Program, sleep } from './program.js'
import { lacksRedis, Place } from './support.js'

const workers = 3

class Fleet {
  readonly counts: Record<string, number> = {}
  readonly #workers: Program[] = []
  #producer: Program | undefined
  #redisIsDown = false

  constructor(
    readonly place: Place,
    readonly random: () => number,
  ) {}

  /**
   * Until the producer says that everything is done. The faults are spread over the photos, however fast this machine is. Failures are photos that were put
   * aside: the next producer does them again.
   */
  async run(faults: number, photos: number): Promise<void> {
    let left = faults
    const step = (0.9 * photos) / faults
    let next = step
    for (;;) {
      await this.#startMissing()
      if (this.#producer?.isRunning === false) {
        const status = await this.#producer.ended
        if (status === 0) break
        if (this.#producer.output.includes('put aside')) this.#count('photos put aside, and done by the next producer')
        this.#producer = undefined
        continue
      }
      if (left > 0 && this.place.count('out/masks') > next && !this.#redisIsDown) {
        await this.#fault()
        left--
        next = step * (faults - left + this.random())
      }
      await sleep(0.1)
    }
    if (left) throw new Error(`all photos were done before the last ${left} faults; take more photos`)
  }

  async #startMissing(): Promise<void> {
    for (let i = 0; i < workers; i++) if (!this.#workers[i]?.isRunning) this.#workers[i] = this.place.worker()
    this.#producer ??= this.place.producer('out')
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }

  async #fault(): Promise<void> {
    const worker = this.#workers[Math.floor(workers * this.random())] as Program
    const kind = this.random()
    if (kind < 0.4) await this.#do('kill -9 of a worker', () => worker.kill())
    else if (kind < 0.55) await this.#do('SIGTERM to a worker', () => worker.signal('SIGTERM'))
    else if (kind < 0.7) await this.#do('a worker hangs for 8 s', () => hang(worker))
    else if (kind < 0.85) await this.#do('kill -9 of the producer', () => this.#killProducer())
    else await this.#do('kill -9 of Redis', () => this.#killRedis())
  }

  async #do(what: string, work: () => unknown): Promise<void> {
    this.#count(what)
    await work()
  }

  async #killProducer(): Promise<void> {
    await this.#producer?.kill()
    this.#producer = undefined
  }

  async #killRedis(): Promise<void> {
    this.#redisIsDown = true
    await this.place.killRedis()
    await sleep(1)
    await this.place.restartRedis()
    this.#redisIsDown = false
  }
}

function hang(worker: Program): void {
  worker.signal('SIGSTOP')
  setTimeout(() => worker.signal('SIGCONT'), 8000)
}

async function main(faults: number, photos: number, seed: number, aof: boolean): Promise<void> {
  if (lacksRedis) throw new Error(lacksRedis)
  const place = new Place()
  try {
    await place.makePhotos(photos)
    await place.startRedis(...(aof ? ['--appendonly', 'yes'] : []))
    await place.local('local')
    const fleet = new Fleet(place, randomNumbers(seed))
    const start = performance.now()
    await fleet.run(faults, photos)
    await place.stop()
    place.assertSame('out', 'local')
    const lines = place.journalLines('out').length
    assert.is(place.files('out/masks').size, photos)
    console.log(
      `${photos} photos in ${((performance.now() - start) / 1000).toFixed(0)} s, ${faults} faults, Redis ${aof ? 'with' : 'without'} an append-only file`,
    )
    for (const [what, count] of Object.entries(fleet.counts)) console.log(`  ${count} x ${what}`)
    console.log(
      `0 lost, 0 doubled, 0 half files: the same masks and journal as one process, byte for byte; ${lines - photos} photos were computed twice`,
    )
  } finally {
    await place.remove()
  }
}

const [faults = '50', photos = '2000', seed = '1', aof] = process.argv.slice(2)
void main(Number(faults), Number(photos), Number(seed), aof === 'aof')
