/** What to do when a signal aborts. One listener serves all callbacks of a signal: Node warns of a leak when there are more than ten. */
const callbacks = new WeakMap<AbortSignal, Set<() => void>>()

function onAbort(event: Event): void {
  const signal = event.target as AbortSignal
  const called = [...(callbacks.get(signal) ?? [])]
  callbacks.delete(signal)
  for (const callback of called) callback()
}

/**
 * Calls back once when the signal aborts, from then on. A signal that has aborted already calls nothing back.
 * @returns what takes the callback away again
 */
export function whenAborted(signal: AbortSignal, callback: () => void): () => void {
  const known = callbacks.get(signal)
  const own = known ?? new Set()
  own.add(callback)
  if (known === undefined) {
    callbacks.set(signal, own)
    signal.addEventListener('abort', onAbort, { once: true })
  }
  return () => {
    own.delete(callback)
    if (own.size || callbacks.get(signal) !== own) return
    callbacks.delete(signal)
    signal.removeEventListener('abort', onAbort)
  }
}

/**
 * What a promise gives. If the signal aborts first, throws its reason and leaves the promise alone: its work may be that of a server or thread that
 * does not answer.
 */
export async function unlessAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  let forget = (): void => undefined
  const aborted = new Promise<never>((_, reject) => {
    forget = whenAborted(signal, () => reject(signal.reason))
  })
  promise.catch(() => undefined) // if nobody waits for it any more
  try {
    signal.throwIfAborted()
    return await Promise.race([promise, aborted])
  } finally {
    forget()
  }
}
