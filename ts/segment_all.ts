import type { ImageData, SegmentResult } from './types.js'

/** One job runs, one waits, one is being handed out: more would only hold memory. */
const window = 3

/** What segmentAll() needs of a segmenter. */
export interface Source {
  /** Resolves when a further job may be started. */
  space(): Promise<void>
  segment(image: ImageData, signal: AbortSignal): Promise<SegmentResult>
}

type Images = Iterable<ImageData> | AsyncIterable<ImageData>
type Event = { next: IteratorResult<ImageData> } | { head: SegmentResult }

function iterate(images: Images): AsyncIterator<ImageData> | Iterator<ImageData> {
  return Symbol.asyncIterator in images ? images[Symbol.asyncIterator]() : images[Symbol.iterator]()
}

/**
 * Results in the order of the images, each as soon as it is there, with at most `window` images held. The first failure of the images or
 * of a job ends it; so does leaving the loop, which cancels what is in flight and waits until native code lets go of it.
 */
export async function* segmentInOrder(
  images: Images,
  source: Source,
  signal: AbortSignal | undefined,
): AsyncGenerator<SegmentResult, void, undefined> {
  const left = new AbortController()
  const both = signal ? AbortSignal.any([signal, left.signal]) : left.signal
  const iterator = iterate(images)
  const inFlight: Promise<SegmentResult>[] = []
  let fetching: Promise<Event> | undefined
  let done = false
  try {
    while (!done || inFlight.length > 0) {
      signal?.throwIfAborted()
      if (!done && inFlight.length < window) fetching ??= Promise.resolve(iterator.next()).then((next) => ({ next }))
      const head = inFlight[0]?.then((result): Event => ({ head: result }))
      const event = await Promise.race([fetching, head].filter((promise) => promise !== undefined))
      if ('head' in event) {
        inFlight.shift()
        yield event.head
        continue
      }
      fetching = undefined
      if (event.next.done) {
        done = true
        continue
      }
      await source.space()
      const job = source.segment(event.next.value, both)
      job.catch(() => {}) // reported when its turn comes
      inFlight.push(job)
    }
  } finally {
    left.abort()
    fetching?.catch(() => {})
    await Promise.allSettled(inFlight)
    // A source that is still making an image cannot be waited for: it may never come.
    const returned = done ? undefined : iterator.return?.()
    if (!fetching) await returned
  }
}
