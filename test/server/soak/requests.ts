// What the soak and the fuzz send: requests with faults mixed in, from a seed, so that a failure can be repeated.
import { request } from 'node:http'

/** Numbers in [0, 1) from a seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export interface Sent {
  method: string
  path: string
  headers: Record<string, string>
  body: Buffer
  /** Milliseconds after which the client leaves. */
  leaveAfter?: number
}

/** An answer, or that there is none, because the client left or the connection ended. */
export type Got = { status: number; body: Buffer; type: string } | { error: string }

/** Sends one request over a connection of its own. */
export const send = (url: string, { method, path, headers, body, leaveAfter }: Sent): Promise<Got> =>
  new Promise((resolve) => {
    const { hostname, port } = new URL(url)
    const outgoing = request({ hostname, port, method, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () =>
        resolve({
          status: response.statusCode as number,
          body: Buffer.concat(chunks),
          type: response.headers['content-type'] ?? '',
        }),
      )
      response.on('error', (error) => resolve({ error: error.message }))
    })
    outgoing.on('error', (error) => resolve({ error: error.message }))
    if (leaveAfter !== undefined) setTimeout(() => outgoing.destroy(new Error('left')), leaveAfter)
    outgoing.end(body)
  })

/** Runs work for 0 to count - 1, so many at a time. */
export async function inParallel(count: number, atATime: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    for (let i = next++; i < count; i = next++) await work(i)
  }
  await Promise.all(Array.from({ length: atATime }, worker))
}
