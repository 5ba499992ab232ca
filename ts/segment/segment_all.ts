import { unlessAborted } from '../core/abort.js'
import { checkOneOf, checkOptions } from '../core/check.js'
import { ClipEsError, invalid } from '../core/errors.js'
import type {
  FailedItem,
  LabelledImage,
  SegmentAllOptions,
  SegmentedItem,
  SegmentItem,
  SegmentOptions,
  SegmentResult,
} from '../core/segment_types.js'
import { segmentOptionNames } from './segment_options.js'

const call = 'segmentAll()'

type Source<Item> = Iterable<Item> | AsyncIterable<Item>
type Event<Item, Result> = { next: IteratorResult<Item> } | { failure: unknown } | { head: Result }
type ImageOf = LabelledImage['image']
/** Segments one image, waiting for a place in the queue. */
type Segment = (image: ImageOf, options: SegmentOptions) => Promise<SegmentResult>

/** What to do with the items, checked, but for the options that segment() has, too. */
export interface ItemPlan {
  onError: 'throw' | 'yield'
  options: Omit<SegmentOptions, 'output'>
}

/** Splits the options of segmentAll(). Throws ERR_INVALID_ARG. */
export function planItems(given: SegmentAllOptions | undefined): ItemPlan {
  const { onError = 'throw', ...options } = checkOptions<SegmentAllOptions & SegmentOptions>(call, given, [
    ...segmentOptionNames,
    'onError',
  ])
  if (Object.keys(checkOptions(`${call}: output`, options.output, ['mask', 'confidence', 'cams'])).length)
    throw invalid(`${call}: output cannot be filled by more than one image; use segment()`)
  return { onError: checkOneOf(call, 'onError', onError, ['throw', 'yield']), options }
}

function unpack(item: unknown, index: number): { image: ImageOf; labels: SegmentOptions['labels']; key: unknown } {
  if (typeof item !== 'object' || item === null || !('image' in item))
    return { image: item as ImageOf, labels: undefined, key: index }
  const {
    image,
    labels,
    key = index,
  } = checkOptions(`${call}: items[${index}]`, item as LabelledImage, ['image', 'labels', 'key'])
  return { image, labels, key }
}

/** Whether only this item failed: later ones can succeed. */
const isOfItem = (error: unknown, signal: AbortSignal): error is ClipEsError =>
  error instanceof ClipEsError && error.code !== 'ERR_CLOSED' && !signal.aborted

/** Segments an item; with `onError` 'yield' its failure is a result. */
export async function segmentItem(
  item: SegmentItem,
  index: number,
  signal: AbortSignal,
  { onError, options: { labels: common, labelThreshold, ...options } }: ItemPlan,
  segment: Segment,
): Promise<SegmentedItem<unknown> | FailedItem<unknown>> {
  let key: unknown = index
  try {
    const { image, labels = common, ...own } = unpack(item, index)
    key = own.key
    const threshold = labels === 'auto' ? labelThreshold : undefined
    return { key, ...(await segment(image, { ...options, labels, labelThreshold: threshold, signal })) }
  } catch (error) {
    if (onError === 'yield' && isOfItem(error, signal)) return { key, error }
    throw error
  }
}

function iterate<Item>(source: Source<Item>): AsyncIterator<Item> | Iterator<Item> {
  return Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
}

/**
 * What `work` makes of the items, in their order, each as soon as it is there, with at most `window` items held. The first failure of the
 * source or of the work ends it, after the results before it; so does leaving the loop, which cancels what is in flight and waits until
 * native code lets go of it.
 */
export async function* resultsInOrder<Item, Result>(
  source: Source<Item>,
  work: (item: Item, index: number, signal: AbortSignal) => Promise<Result>,
  signal: AbortSignal | undefined,
  window: number,
): AsyncGenerator<Result, void, undefined> {
  const left = new AbortController()
  const both = signal ? AbortSignal.any([signal, left.signal]) : left.signal
  const iterator = iterate(source)
  const inFlight: Promise<Result>[] = []
  let count = 0
  const add = (job: Promise<Result>) => {
    job.catch(() => {}) // reported when its turn comes
    inFlight.push(job)
  }
  let fetching: Promise<Event<Item, Result>> | undefined
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
        fetching ??= (signal ? unlessAborted(signal, fetch()) : fetch()).then(
          (next) => ({ next }),
          (failure: unknown) => ({ failure }),
        )
      const head = inFlight[0]?.then((result): Event<Item, Result> => ({ head: result }))
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
      else add(work(event.next.value, count++, both))
    }
  } finally {
    left.abort()
    await Promise.allSettled(inFlight)
    const returned = (async () => (done ? undefined : iterator.return?.()))()
    returned.catch(() => {})
    if (!asked) await returned // a source that is still making an image cannot be waited for: it may never come
  }
}
