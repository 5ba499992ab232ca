import { whenAborted } from './abort.js'
import type { ImageData, SegmentResult, SharpImage } from './types.js'

type Image = ImageData | SharpImage
/** Segments one image, waiting for a place in the queue. */
type Segment = (image: Image, signal: AbortSignal) => Promise<SegmentResult>
type Images = Iterable<Image> | AsyncIterable<Image>
type Event = { next: IteratorResult<Image> } | { failure: unknown } | { head: SegmentResult }

function iterate(images: Images): AsyncIterator<Image> | Iterator<Image> {
  return Symbol.asyncIterator in images ? images[Symbol.asyncIterator]() : images[Symbol.iterator]()
}

/** A promise's outcome, or the signal's reason if that comes first. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return await promise
  let forget = () => {}
  const aborted = new Promise<never>((_, reject) => {
    forget = whenAborted(signal, () => reject(signal.reason))
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    forget()
  }
}

/**
 * Results in the order of the images, each as soon as it is there, with at most `window` images held. The first failure of the images or
 * of a job ends it, after the results before it; so does leaving the loop, which cancels what is in flight and waits until native code
 * lets go of it.
 */
export async function* segmentInOrder(
  images: Images,
  segment: Segment,
  signal: AbortSignal | undefined,
  window: number,
): AsyncGenerator<SegmentResult, void, undefined> {
  const left = new AbortController()
  const both = signal ? AbortSignal.any([signal, left.signal]) : left.signal
  const iterator = iterate(images)
  const inFlight: Promise<SegmentResult>[] = []
  const add = (job: Promise<SegmentResult>) => {
    job.catch(() => {}) // reported when its turn comes
    inFlight.push(job)
  }
  let fetching: Promise<Event> | undefined
  let asked = false // the source is making an image
  let done = false
  const fetch = async () => {
    asked = true
    try {
      return await iterator.next()
    } finally {
      asked = false
    }
  }
  try {
    while (!done || inFlight.length > 0) {
      signal?.throwIfAborted()
      if (!done && inFlight.length < window)
        fetching ??= untilAborted(fetch(), signal).then(
          (next) => ({ next }),
          (failure: unknown) => ({ failure }),
        )
      const head = inFlight[0]?.then((result): Event => ({ head: result }))
      const event = await Promise.race([fetching, head].filter((promise) => promise !== undefined))
      if ('head' in event) {
        inFlight.shift()
        yield event.head
        continue
      }
      fetching = undefined
      if ('failure' in event) {
        signal?.throwIfAborted()
        done = true
        add(Promise.reject(event.failure))
      } else if (event.next.done) done = true
      else add(segment(event.next.value, both))
    }
  } finally {
    left.abort()
    await Promise.allSettled(inFlight)
    const returned = (async () => (done ? undefined : iterator.return?.()))()
    returned.catch(() => {})
    if (!asked) await returned // a source that is still making an image cannot be waited for: it may never come
  }
}
