// Simulated workers for queue.ts: `URL COUNT SLEEP`. Each is what `clip-es worker` runs for a job, with a stub engine that sleeps for SLEEP milliseconds
// instead of computing a photo. See queue.ts.
import { consume } from '../../cli/src/queue/consume.js'
import { connect } from '../../cli/src/queue/redis.js'
import { keys, run } from './queue.js'

async function main(url: string, count: number, milliseconds: number): Promise<void> {
  const engine = {
    window: 7, // as a CPU with 4 photos at a time has
    check: () => undefined,
    async photo() {
      await new Promise((wake) => setTimeout(wake, milliseconds))
      return { labels: [1, 2], ignored: 0.01 }
    },
  }
  for (let i = 0; i < count; i++) consume({ redis: await connect(url), keys, run, engine, stalledAfter: 30_000 })
  const before = process.cpuUsage()
  process.on('message', () => {
    const { user, system } = process.cpuUsage(before)
    process.send?.((user + system) / 1e6)
  })
  process.send?.('ready')
}

const [url = '', count, milliseconds] = process.argv.slice(2)
void main(url, Number(count), Number(milliseconds))
