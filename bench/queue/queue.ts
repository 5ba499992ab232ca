// npm run bench:queue [-- options]: how much traffic the queue of `clip-es dataset --queue` carries. Starts its own redis-server.
//
// Simulated workers have a stub instead of an engine: it sleeps. Everything else is real: Redis, BullMQ, the producer's Follower, and the workers'
// consume() with its ledger. Their photos do not exist, and no results are written: the journal that the producer reads at the end is made up. So the figures
// say what the queue adds, and nothing about computing. They run in processes of their own, which share this machine's cores with producer and Redis.
//
// With --processes, real `clip-es worker` processes do a data set of small photos on this machine.
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import type { Redis } from 'ioredis'
import { Progress } from '../../cli/src/pipeline/progress.js'
import { Follower } from '../../cli/src/queue/follow.js'
import { groupsOf } from '../../cli/src/queue/jobs.js'
import { connect } from '../../cli/src/queue/redis.js'
import { Keys } from '../../cli/src/queue/runs.js'
import { Tally } from '../../cli/src/queue/tally.js'
import type { DatasetItem } from '../../cli/src/sources/dataset.js'
import { PhotoList } from '../../cli/src/sources/photo_list.js'
import { countInJournal, writeJournal } from './journal.js'
import { realWorkers } from './processes.js'

interface Options {
  photos: number
  workers: number
  workerProcesses: number
  sleep: number
  aof: boolean
  processes: boolean
}

export const keys = new Keys('bench')
export const run = 'benchmark'

/** A data set that is never a list. */
function* dataset(count: number): Generator<DatasetItem> {
  for (let i = 0; i < count; i++)
    yield {
      id: `train/${String(i).padStart(8, '0')}`,
      photo: `/data/train/${String(i).padStart(8, '0')}.jpg`,
      labels: [i % 80, 80 + (i % 7)],
    }
}

async function startRedis(folder: string, aof: boolean): Promise<{ child: ChildProcess; url: string }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  const options = ['--port', String(port), '--dir', folder, '--save', '', '--appendonly', aof ? 'yes' : 'no']
  const child = spawn('redis-server', options, { stdio: ['ignore', 'pipe', 'inherit'] })
  child.on('error', () => {
    console.error('There is no redis-server: install it.')
    process.exit(1)
  })
  for await (const text of child.stdout as NodeJS.ReadableStream) if (String(text).includes('Ready to accept')) break
  return { child, url: `redis://127.0.0.1:${port}` }
}

const figure = async (redis: Redis, section: string, name: string): Promise<number> =>
  Number(new RegExp(`${name}:([\\d.]+)`).exec(await redis.info(section))?.[1] ?? 0)

const memoryOf = (redis: Redis): Promise<number> => figure(redis, 'memory', 'used_memory_peak')

/** Seconds of a core. */
const cpuOf = async (redis: Redis): Promise<number> =>
  (await figure(redis, 'cpu', 'used_cpu_user')) + (await figure(redis, 'cpu', 'used_cpu_sys'))

const ownCpu = (since?: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1e6
}

async function cpuOfStub(stub: ChildProcess): Promise<number> {
  stub.send('cpu')
  const [seconds] = await once(stub, 'message')
  return seconds as number
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`

/** Processes of simulated workers, when they are ready. */
async function startStubs(url: string, each: number, { workerProcesses, sleep }: Options): Promise<ChildProcess[]> {
  const args = [url, String(each), String(sleep)]
  const stubs = Array.from({ length: workerProcesses }, () =>
    fork(join(__dirname, 'stub_workers.ts'), args, { execArgv: ['--import', 'tsx'] }),
  )
  await Promise.all(stubs.map((stub) => once(stub, 'message')))
  return stubs
}

/** Puts all photos through the queue, as the producer does. */
async function produce(redis: Redis, list: PhotoList): Promise<{ ended: number; seconds: number; cpu: number }> {
  const progress = new Progress(list.length, 'none')
  const tally = new Tally(list.length, progress, { names: [] })
  const before = process.cpuUsage()
  const report = setInterval(() => {
    const { ended, rate } = progress.figures
    console.log(`  ${ended} photos, ${rate}, producer ${megabytes(process.memoryUsage.rss())}`)
  }, 15_000)
  const follower = new Follower({
    ...{ redis, keys, run, signal: new AbortController().signal },
    groups: groupsOf(
      list,
      64,
      () => true,
      () => 100_000,
    ),
    pathOf: ({ photo }) => photo.slice(1),
    listener: tally,
    check: () => undefined,
  })
  await follower.run()
  const { seconds, succeeded } = progress
  clearInterval(report)
  await follower.close()
  return { ended: succeeded, seconds, cpu: ownCpu(before) }
}

/** All photos through the queue, with simulated workers. */
async function traffic(url: string, folder: string, options: Options): Promise<void> {
  const { photos, workers, workerProcesses, sleep } = options
  const redis = await connect(url)
  await redis.hset(keys.runs, run, '{}') // the follower stops when the run is not there
  const each = Math.ceil(workers / workerProcesses)
  const stubs = await startStubs(url, each, options)
  const list = new PhotoList(dataset(photos))
  const { ended, seconds, cpu } = await produce(redis, list)
  const redisCpu = await cpuOf(redis)
  const stubCpu = (await Promise.all(stubs.map(cpuOfStub))).reduce((a, b) => a + b, 0)
  for (const stub of stubs) stub.kill()
  writeJournal(folder, list)
  const journalStarted = performance.now()
  const found = await countInJournal(folder, list)
  const journalSeconds = (performance.now() - journalStarted) / 1000
  const perThousand = (cpu: number) => `${((1e6 * cpu) / ended).toFixed(0)} ms of a core per 1,000 photos`
  console.log(`photos                  ${ended} of ${photos}`)
  console.log(`simulated workers       ${each * workerProcesses} in ${workerProcesses} processes, ${sleep} ms a photo`)
  console.log(`seconds                 ${seconds.toFixed(1)}`)
  console.log(`photos a second         ${(ended / seconds).toFixed(0)}`)
  console.log(`producer                ${perThousand(cpu)}`)
  console.log(`Redis                   ${perThousand(redisCpu)}`)
  console.log(`simulated workers       ${perThousand(stubCpu)}`)
  console.log(`journal                 ${found} photos found in it in ${journalSeconds.toFixed(1)} s`)
  console.log(`producer's memory       ${megabytes(1024 * process.resourceUsage().maxRSS)} at most`)
  console.log(`Redis' memory           ${megabytes(await memoryOf(redis))} at most`)
  redis.disconnect()
}

async function main(): Promise<void> {
  const command = new Command('npm run bench:queue --')
    .option('--photos <n>', 'photos through the queue', Number, 200_000)
    .option('--workers <n>', 'simulated workers', Number, 100)
    .option('--worker-processes <n>', 'processes that they run in', Number, 2)
    .option('--sleep <ms>', 'how long the stub engine sleeps for a photo', Number, 50)
    .option('--aof', 'Redis writes an append-only file', false)
    .option('--processes', 'measure 1, 2 and 4 real workers instead', false)
  const options = command.parse().opts<Options>()
  const folder = mkdtempSync(join(tmpdir(), 'clip-es-bench-queue-'))
  const { child, url } = await startRedis(folder, options.aof)
  try {
    if (options.processes) await realWorkers(url, folder)
    else await traffic(url, folder, options)
  } finally {
    child.kill()
    await once(child, 'close')
    rmSync(folder, { recursive: true })
  }
}

if (require.main === module) void main()
