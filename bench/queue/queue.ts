// npm run bench:queue [-- options]: how much traffic the queue of `clip-es dataset --queue` carries. Starts its own redis-server.
//
// Simulated workers have a stub instead of an engine: it sleeps. Everything else is real: Redis, BullMQ, the producer's Follower, and the workers'
// consume() with its ledger. Their photos do not exist, and no results are written. So the figures say what the queue adds, and nothing about
// computing. They run in processes of their own, which share this machine's cores with producer and Redis.
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
import { Follower } from '../../cli/src/queue/follow.js'
import { groupsOf } from '../../cli/src/queue/jobs.js'
import { connect } from '../../cli/src/queue/redis.js'
import { Keys } from '../../cli/src/queue/runs.js'
import type { DatasetItem } from '../../cli/src/sources/dataset.js'
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
function* photos(count: number): Generator<DatasetItem> {
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

/** All photos through the queue, with simulated workers. */
async function traffic(url: string, options: Options): Promise<void> {
  const redis = await connect(url)
  await redis.hset(keys.runs, run, '{}') // the follower stops when the run is not there
  const each = Math.ceil(options.workers / options.workerProcesses)
  const stubs = Array.from({ length: options.workerProcesses }, () =>
    fork(join(__dirname, 'stub_workers.ts'), [url, String(each), String(options.sleep)], { execArgv: ['--import', 'tsx'] }),
  )
  await Promise.all(stubs.map((stub) => once(stub, 'message')))
  let [ended, largest] = [0, 0]
  const started = performance.now()
  const before = process.cpuUsage()
  const sample = setInterval(() => {
    largest = Math.max(largest, process.memoryUsage.rss())
  }, 200)
  const report = setInterval(() => {
    const seconds = (performance.now() - started) / 1000
    console.log(`  ${ended} photos, ${(ended / seconds).toFixed(0)}/s, producer ${megabytes(process.memoryUsage.rss())}`)
  }, 15_000)
  const follower = new Follower({
    ...{ redis, keys, run, signal: new AbortController().signal },
    groups: groupsOf(
      photos(options.photos),
      64,
      () => true,
      () => 100_000,
    ),
    pathOf: ({ photo }) => photo.slice(1),
    listener: { ended: () => ended++, again: () => undefined },
    check: async () => undefined,
  })
  await follower.run()
  const seconds = (performance.now() - started) / 1000
  const perThousand = (cpu: number) => `${((1e6 * cpu) / ended).toFixed(0)} ms of a core per 1,000 photos`
  clearInterval(sample)
  clearInterval(report)
  console.log(`photos                  ${ended} of ${options.photos}`)
  console.log(
    `simulated workers       ${each * options.workerProcesses} in ${options.workerProcesses} processes, ${options.sleep} ms a photo`,
  )
  console.log(`seconds                 ${seconds.toFixed(1)}`)
  console.log(`photos a second         ${(ended / seconds).toFixed(0)}`)
  console.log(`producer                ${perThousand(ownCpu(before))}`)
  console.log(`Redis                   ${perThousand(await cpuOf(redis))}`)
  const stubCpu = (await Promise.all(stubs.map(cpuOfStub))).reduce((a, b) => a + b, 0)
  console.log(`simulated workers       ${perThousand(stubCpu)}`)
  console.log(`producer's memory       ${megabytes(largest)} at most`)
  console.log(`Redis' memory           ${megabytes(await memoryOf(redis))} at most`)
  await follower.close()
  for (const stub of stubs) stub.kill()
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
    else await traffic(url, options)
  } finally {
    child.kill()
    await once(child, 'close')
    rmSync(folder, { recursive: true })
  }
}

if (require.main === module) void main()
