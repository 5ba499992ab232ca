// A load generator for loopback: a number of clients, each of which sends its next request when it has its answer.

/** What the clients met. Times in milliseconds. */
export interface Load {
  clients: number
  photosPerSecond: number
  p50: number
  p95: number
  p99: number
  failed: number
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] as number
}

/**
 * Sends `requests` photos by so many clients at a time.
 * @param photos sent one after another, then again from the first one
 */
export async function runLoad(url: string, photos: readonly Buffer[], clients: number, requests: number): Promise<Load> {
  const times: number[] = []
  let [next, failed] = [0, 0]
  const client = async () => {
    for (let i = next++; i < requests; i = next++) {
      const before = performance.now()
      const body = new Uint8Array(photos[i % photos.length] as Buffer)
      const response = await fetch(url, { method: 'POST', body, headers: { 'content-type': 'image/jpeg' } })
      const { byteLength } = await response.arrayBuffer()
      times.push(performance.now() - before)
      if (response.status !== 200 || byteLength === 0) failed++
    }
  }
  const begin = performance.now()
  await Promise.all(Array.from({ length: clients }, client))
  const seconds = (performance.now() - begin) / 1000
  const sorted = times.sort((a, b) => a - b)
  return {
    ...{ clients, failed },
    photosPerSecond: (requests - failed) / seconds,
    ...{ p50: percentile(sorted, 0.5), p95: percentile(sorted, 0.95), p99: percentile(sorted, 0.99) },
  }
}
