import { createWriteStream, existsSync, statSync } from 'node:fs'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream } from 'node:stream/web'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Progress } from './progress.js'

const mostAttempts = 6
const firstPause = 100 // milliseconds, doubled each time

const sizeOf = (file: string): number => (existsSync(file) ? statSync(file).size : 0)

/** fetch refuses addresses with a name and a password in them: they go into a header. */
function authorised(address: string): { url: string; headers: Record<string, string> } {
  const url = new URL(address)
  const headers: Record<string, string> = { 'accept-encoding': 'identity' }
  if (url.username) {
    const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
    headers.authorization = `Basic ${Buffer.from(credentials).toString('base64')}`
    url.username = url.password = ''
  }
  return { url: url.href, headers }
}

async function request(address: string, file: string, progress: Progress): Promise<void> {
  const have = sizeOf(file)
  const { url, headers } = authorised(address)
  if (have) headers.range = `bytes=${have}-`
  const response = await fetch(url, { headers })
  if (response.status === 416) return void response.body?.cancel() // nothing after what is there: the checksum will judge
  if (!response.ok || !response.body) throw new Error(`${url} answered ${response.status} ${response.statusText}`.trim())
  const resumed = response.status === 206
  let done = resumed ? have : 0
  const total = done + Number(response.headers.get('content-length') ?? 0)
  const count = new Transform({
    transform(chunk: Buffer, _encoding, next) {
      done += chunk.length
      progress.update(done, Math.max(done, total))
      next(null, chunk)
    },
  })
  const body = Readable.fromWeb(response.body as ReadableStream)
  await pipeline(body, count, createWriteStream(file, { flags: resumed ? 'a' : 'w' }))
  if (done < total) throw new TypeError(`${url} ended after ${done} of ${total} bytes`)
}

/** fetch and its bodies report what the network does as TypeErrors; a full disk or a wrong status is none. */
const isOfNetwork = (error: unknown): boolean => error instanceof TypeError

/**
 * Downloads a URL to a file. What the file already holds is kept and the rest asked for; a connection that breaks after it has
 * brought something is taken up again a few times. The content is not checked here.
 */
export async function download(url: string, file: string, progress: Progress): Promise<void> {
  for (let attempt = 1; ; ++attempt) {
    try {
      return await request(url, file, progress)
    } catch (error) {
      if (attempt === mostAttempts || !existsSync(file) || !isOfNetwork(error)) throw error
      await sleep(firstPause * 2 ** (attempt - 1))
    }
  }
}
