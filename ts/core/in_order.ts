/**
 * The results of `work` in the order of the items, with at most `window` items in work. The first failure or an abort ends it after the items
 * in work have ended. Leaving the loop does the same.
 * @throws the reason of the signal, or the first failure
 */
export async function* inOrder<Item, Result>(
  items: Iterable<Item>,
  window: number,
  signal: AbortSignal | undefined,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result, void, undefined> {
  const inWork: Promise<Result>[] = []
  let failed = false
  const begin = (item: Item): void => {
    const promise = work(item)
    promise.catch(() => {
      failed = true // thrown by the loop below, after the earlier items
    })
    inWork.push(promise)
  }
  try {
    for (const item of items) {
      if (signal?.aborted || failed) break
      begin(item)
      if (inWork.length === window) yield await (inWork.shift() as Promise<Result>)
    }
    while (inWork.length) yield await (inWork.shift() as Promise<Result>)
    signal?.throwIfAborted()
  } catch (error) {
    await Promise.allSettled(inWork)
    signal?.throwIfAborted() // what failed because of the abort is not the reason
    throw error
  } finally {
    await Promise.allSettled(inWork) // the loop was left
  }
}

/** The same for work without results. */
export async function forEachInOrder<Item>(
  items: Iterable<Item>,
  window: number,
  signal: AbortSignal | undefined,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  for await (const _ of inOrder(items, window, signal, work)) {
    // the work is all there is
  }
}
