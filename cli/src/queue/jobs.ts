import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import type { JobsOptions } from 'bullmq'
import type { DatasetItem } from '../sources/dataset.js'

/**
 * A photo as jobs name it. Redis holds many of them, so it is a list: place in the group (the same for every producer), id, path from the root, and
 * labels if they are known.
 */
export type JobPhoto = [place: number, id: string, path: string, labels?: number[]]

export interface JobData {
  photos: JobPhoto[]
}

/** What has become of a photo. */
export type PhotoOutcome = { labels: number[]; ignored: number } | { failed: string }

/** Photos that are done by one worker. They lie one after another in the data set. */
export interface Group {
  /** The number of its first photo in the data set. */
  first: number
  /** Every photo of the group, also those that are done: they make the job's id. */
  all: readonly DatasetItem[]
  /** Which photos of the group are left to do: their places in it. */
  left: readonly number[]
}

const most = 64 // photos in a job
const least = 16
const enoughBytes = 32 * 2 ** 20 // of a job's photos: with more, it is cut as soon as it has 16
const fewJobs = 64 // of a small data set, so that every worker gets some

/** Photos in a job of a data set with so many photos. */
export const jobSize = (photos: number): number => Math.min(most, Math.max(least, Math.ceil(photos / fewJobs)))

/**
 * Cuts a data set into groups of 16 to 64 photos. The cuts depend on the whole list and on the sizes of the photos, not on which photos are
 * left: two producers, and one that starts again, make the same groups. Sizes are looked up only where photos are left.
 * @param size photos in a group, if they are small
 * @param isLeft by the photo's number
 */
export function* groupsOf(
  items: Iterable<DatasetItem>,
  size: number,
  isLeft: (number: number) => boolean,
  bytesOf: (item: DatasetItem) => number = fileBytes,
): Generator<Group> {
  let first = 0
  for (const block of blocksOf(items)) {
    const start = first
    first += block.length
    if (!block.some((_, i) => isLeft(start + i))) continue
    let begin = start
    for (const all of cut(block, size, bytesOf)) {
      const left = [...all.keys()].filter((place) => isLeft(begin + place))
      if (left.length) yield { first: begin, all, left }
      begin += all.length
    }
  }
}

const fileBytes = ({ photo }: DatasetItem): number => statSync(photo, { throwIfNoEntry: false })?.size ?? 0

function* blocksOf(items: Iterable<DatasetItem>): Generator<DatasetItem[]> {
  let block: DatasetItem[] = []
  for (const item of items) {
    block.push(item)
    if (block.length < most) continue
    yield block
    block = []
  }
  if (block.length) yield block
}

function* cut(block: DatasetItem[], size: number, bytesOf: (item: DatasetItem) => number): Generator<DatasetItem[]> {
  let [start, bytes] = [0, 0]
  for (const [i, item] of block.entries()) {
    bytes += bytesOf(item)
    const end = i + 1
    const isFull = end - start >= size || (bytes >= enoughBytes && end - start >= least)
    if (!isFull || block.length - end < least) continue
    yield block.slice(start, end)
    ;[start, bytes] = [end, 0]
  }
  yield block.slice(start)
}

/** Equal for equal photos with equal labels of one run. BullMQ takes a second job of the same id for the first. */
function jobId(run: string, photos: readonly DatasetItem[]): string {
  const hash = createHash('sha256').update(run)
  for (const { id, labels } of photos) hash.update(`\n${id} ${labels?.join() ?? 'auto'}`)
  return `j${hash.digest('hex').slice(0, 20)}` // BullMQ refuses ids that are numbers
}

/**
 * A job is tried again wherever there is a worker, at once: a delay would be measured by the clocks of two machines. The worker that failed
 * rests instead.
 */
const jobOptions: JobsOptions = { attempts: 1000, keepLogs: 0, stackTraceLimit: 1, removeOnFail: false }

/** A job as BullMQ takes it. */
export interface NewJob {
  name: string
  data: JobData
  opts: JobsOptions & { jobId: string }
}

/** @param pathOf how the job names the photo's file */
export function newJob(run: string, { all, left }: Group, pathOf: (item: DatasetItem) => string): NewJob {
  const photos = left.map((place): JobPhoto => {
    const item = all[place] as DatasetItem
    return item.labels ? [place, item.id, pathOf(item), item.labels] : [place, item.id, pathOf(item)]
  })
  return { name: 'photos', data: { photos }, opts: { ...jobOptions, jobId: jobId(run, all) } }
}
