// What the tests of the queue's parts share: a Redis, a run of 40 photos, workers without an engine, and what is printed.
import type { Redis } from 'ioredis'
import type { Test } from 'uvu'
import { consume, type Engine } from '../../cli/src/queue/consume.js'
import { Follower, type FollowOptions } from '../../cli/src/queue/follow.js'
import { groupsOf, type PhotoOutcome } from '../../cli/src/queue/jobs.js'
import { connect } from '../../cli/src/queue/redis.js'
import { Keys, type RunInfo } from '../../cli/src/queue/runs.js'
import type { DatasetItem } from '../../cli/src/sources/dataset.js'
import { lacksRedis, Place } from './support.js'

export const place = new Place()
export const keys = new Keys('parts')
export const never: FollowOptions['signal'] = new AbortController().signal
/** Of the running test: empty at its start. */
export let redis: Redis
/** Lines on standard output and standard error while a test runs. */
export const said: string[] = []
export const complained: string[] = []
const { log, error } = console

export function prepare(tests: Test): void {
  tests.before(async () => {
    if (lacksRedis) return
    await place.startRedis()
    redis = await connect(place.url)
  })
  tests.before.each(async () => {
    if (lacksRedis) return
    await redis.flushall()
    said.length = 0
    complained.length = 0
    console.log = (line: string) => said.push(line)
    console.error = (line: string) => complained.push(line)
  })
  tests.after.each(() => void Object.assign(console, { log, error }))
  tests.after(async () => {
    redis?.disconnect()
    await place.remove()
  })
}

export const settings = { set: 'folder' } as RunInfo['settings']
export const runInfo = (id: string, more: Partial<RunInfo> = {}): RunInfo => ({
  ...{
    format: 1,
    id,
    version: '1.0.0',
    settings,
    outputs: ['mask'],
    modelFile: 'm.pt',
    photos: 40,
    already: 2,
    producer: 'host 1',
  },
  ...{ out: '/out', folderId: 'f', exchange: { kind: 'folder', root: '/', out: 'out' } },
  ...more,
})
export const items: DatasetItem[] = Array.from({ length: 40 }, (_, i) => ({ id: `p${i}`, photo: `/p${i}.jpg`, labels: [0] }))
/** Of 20 photos each. */
export const groups = () => [
  ...groupsOf(
    items,
    20,
    () => true,
    () => 1,
  ),
]

/** Listens to what happens to photos, by their numbers. */
export function listening(run: string, more: Partial<FollowOptions> = {}) {
  const ended: [number: number, id: string, outcome: PhotoOutcome][] = []
  const again: number[] = []
  const listener = {
    ended: (number: number, { id }: DatasetItem, outcome: PhotoOutcome) => void ended.push([number, id, outcome]),
    again: (number: number) => void again.push(number),
  }
  const follower = new Follower({
    ...{ redis, keys, run, groups: groups(), pathOf: ({ photo }) => photo, listener, signal: never, check: () => undefined },
    ...more,
  })
  return { follower, ended, again }
}

export const good: PhotoOutcome = { labels: [0], ignored: 0.25 }

/** A worker with such an engine, and what it tells. */
export function working(run: string, photo: Engine['photo'], more: Partial<Engine> = {}) {
  const told = { photos: 0, jobs: 0, checks: 0, problems: [] as string[] }
  const check = () => void told.checks++
  const worker = consume({
    ...{ redis, keys, run, stalledAfter: 30_000, engine: { window: 2, check, photo, ...more } },
    onPhoto: () => void told.photos++,
    onJob: () => void told.jobs++,
    onProblem: ({ message }) => void told.problems.push(message),
  })
  return { told, worker }
}

/** How enqueue() fills such a run. */
export const filling = (run: string): Omit<FollowOptions, 'listener'> => ({
  ...{
    redis,
    keys,
    run,
    groups: groups(),
    pathOf: ({ photo }: DatasetItem) => photo,
    signal: never,
    check: (): void => undefined,
  },
})
