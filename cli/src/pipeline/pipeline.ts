import { inOrder } from 'clip-es/support'
import { Stopped } from '../shared/stop.js'
import { counted, messageOf } from '../shared/wording.js'
import type { Event, Progress } from './progress.js'

/**
 * What a command does with each photo, in this order. `segment`, `dataset` and `crf` differ only in these steps.
 * @template Item what the source lists: a photo, where its results go, perhaps its labels
 * @template State what must be known before the photo is read
 * @template Made the photo's pixels and its mask
 * @template Summary what the progress report needs. It must not hold the pixels
 */
export interface Stages<Item, State, Made, Summary> {
  /** Before the photo is read. Throws for an item whose results could not be written. */
  prepare(item: Item): State
  /** Reads the photo and segments it: with the labels that are known, or with those that CLIP finds. */
  segment(item: Item, state: State): Promise<Made>
  /** The bytes of the results. */
  encode(made: Made, item: Item): Promise<ReadonlyMap<string, Uint8Array>>
  /** Writes all files or none. In folders it does so synchronously, so that an interruption finds no half of them. */
  save(files: ReadonlyMap<string, Uint8Array>, made: Made, item: Item, state: State): Summary | Promise<Summary>
  /** Remembers that a photo has failed. */
  fail?(item: Item, message: string): void
}

export type Outcome<Item, Summary> = { item: Item; summary: Summary } | { item: Item; error: Error & { code?: string } }

export interface Run<Item, Summary> {
  /** Photos in work at the same time. */
  window: number
  signal: AbortSignal
  progress: Progress
  /** How the progress report shows an outcome. */
  describe(outcome: Outcome<Item, Summary>): Event
  /** The folder for results. */
  out: string
}

/** Photos in addition to those that the engine computes: one is read, one waits and one is written. More would only use memory. */
export const othersInWork = 3

/** Errors of the disk: the next photo would fail in the same way. */
const fatal: readonly (string | undefined)[] = ['ENOSPC', 'EDQUOT', 'EROFS']

/** The other machine, which has the photos or keeps the results, does not answer: the next photo would fail in the same way. */
export class TransferError extends Error {}

export const isDiskError = (error: unknown): boolean => fatal.includes((error as NodeJS.ErrnoException).code)

const isFatal = (error: unknown): boolean => isDiskError(error) || error instanceof TransferError

/**
 * Takes photos through the stages, several at a time, and reports them in their order. A photo that fails is reported, and the others go on.
 * @throws Stopped, or the disk's error, with the number of photos that are done
 */
export async function runPipeline<Item, State, Made, Summary>(
  items: Iterable<Item>,
  stages: Stages<Item, State, Made, Summary>,
  run: Run<Item, Summary>,
): Promise<void> {
  const { signal, progress } = run
  let done = 0 // also of photos that are not reported yet, because an earlier one is still in work
  const work = async (item: Item): Promise<Outcome<Item, Summary>> => {
    const outcome = await runStages(item, stages, signal)
    if ('summary' in outcome) done++
    return outcome
  }
  try {
    for await (const outcome of inOrder(items, run.window, signal, work))
      if ('error' in outcome) progress.failed(run.describe(outcome))
      else progress.done(run.describe(outcome))
  } catch (error) {
    throw withProgress(error, done, progress.total, run.out)
  }
}

/** Takes one photo through the stages. Throws when the next photo would fail in the same way, and when the signal aborts. */
export async function runStages<Item, State, Made, Summary>(
  item: Item,
  stages: Stages<Item, State, Made, Summary>,
  signal: AbortSignal,
): Promise<Outcome<Item, Summary>> {
  try {
    signal.throwIfAborted()
    const state = stages.prepare(item)
    const made = await stages.segment(item, state)
    const files = await stages.encode(made, item)
    signal.throwIfAborted()
    return { item, summary: await stages.save(files, made, item, state) }
  } catch (error) {
    if (signal.aborted || isFatal(error)) throw error
    stages.fail?.(item, messageOf(error))
    return { item, error: error instanceof Error ? error : new Error(String(error)) }
  }
}

/** Adds to an interruption, and to an error of the disk, how far the run was. Other errors stay as they are. */
export function withProgress(error: unknown, done: number, total: number, out: string): unknown {
  const state = `${done} of ${counted(total, 'photo')} done; results are in ${out}`
  if (error instanceof Stopped) return new Stopped(`${error.message}; ${state}`, error.status)
  const { code } = error as NodeJS.ErrnoException
  if (!isDiskError(error)) return error
  const message = `${messageOf(error)}; ${state}. Make room and run the same command again, or choose another folder with --out`
  return Object.assign(new Error(message, { cause: error }), { code })
}
