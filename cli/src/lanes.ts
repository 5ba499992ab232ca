/**
 * Does the work for every item, `lanes` at a time, so that one's reading overlaps with another's computing. The first failure, or an
 * abort, ends it once the work that is going on has ended.
 */
export async function inLanes<T>(
  items: Iterable<T>,
  lanes: number,
  signal: AbortSignal,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items[Symbol.iterator]()
  let failed = false
  const lane = async () => {
    for (let next = queue.next(); !next.done && !failed && !signal.aborted; next = queue.next()) {
      try {
        await work(next.value)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const ends = await Promise.allSettled(Array.from({ length: lanes }, lane))
  signal.throwIfAborted()
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}
