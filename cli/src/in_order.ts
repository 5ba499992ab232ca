/**
 * What `work` makes of the items, in their order, with at most `window` of them in work. The first failure ends it, once the others in
 * work have ended; so does leaving the loop.
 */
export async function* inOrder<T, R>(
  items: Iterable<T>,
  window: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const inWork: Promise<R>[] = []
  try {
    for (const item of items) {
      const promise = work(item)
      promise.catch(() => {}) // reported when its turn comes
      inWork.push(promise)
      if (inWork.length === window) yield await (inWork.shift() as Promise<R>)
    }
    while (inWork.length) yield await (inWork.shift() as Promise<R>)
  } finally {
    await Promise.allSettled(inWork)
  }
}
