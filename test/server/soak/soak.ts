// Many requests with faults mixed in. Every answer must be the direct API's, none may be lost, and memory must stay flat.
import * as assert from 'uvu/assert'
import { type RunningServer, serve } from '../../../server/src/index.js'
import { sceneFile } from '../support.js'
import { type Got, inParallel, randomFrom, type Sent, send } from './requests.js'

const names = ['scene01', 'scene02', 'scene03', 'scene04']
const photoBytes = 200_000
const path = '/v1/segment?classes=emoji&format=raw'
const headers = { 'content-type': 'image/png' }

type Kind = 'whole' | 'left' | 'malformed' | 'large' | 'broken'

/** 10 % of the clients leave, 5 % send what is no request of the API, 5 % too much, 1 % a photo that ends early. */
function kindOf(random: number): Kind {
  if (random < 0.1) return 'left'
  if (random < 0.15) return 'malformed'
  if (random < 0.2) return 'large'
  return random < 0.21 ? 'broken' : 'whole'
}

function requestOf(kind: Kind, photo: Buffer, random: () => number): Sent {
  const whole = { method: 'POST', path, headers, body: photo }
  switch (kind) {
    case 'whole':
      return whole
    case 'left':
      return { ...whole, leaveAfter: 30 * random() }
    case 'malformed':
      return { ...whole, path: `${path}&lables=cat` }
    case 'large':
      return { ...whole, body: Buffer.alloc(photoBytes + 1) }
    case 'broken':
      return { ...whole, body: photo.subarray(0, Math.floor(photo.length * (0.1 + 0.8 * random()))) }
  }
}

const codeOf = (got: Got): string => ('error' in got ? got.error : got.status === 200 ? '' : JSON.parse(got.body.toString()).code)

function check(kind: Kind, got: Got, expected: Uint8Array): void {
  if (kind === 'left' && 'error' in got) return
  // A server that refuses a large body closes the connection; the client may notice that before it reads the answer.
  if (kind === 'large' && 'error' in got) return
  assert.not('error' in got, `${kind}: ${codeOf(got)}`)
  const { status, body } = got as Exclude<Got, { error: string }>
  if (kind === 'whole' || kind === 'left') {
    assert.is(status, 200, codeOf(got))
    assert.ok(Buffer.from(expected).equals(body), 'a mask differs from that of the direct API')
  } else {
    assert.is(codeOf(got), kind === 'large' ? 'ERR_TOO_LARGE' : 'ERR_INVALID_ARG', kind)
  }
}

async function directMasks(server: RunningServer, photos: readonly Buffer[]): Promise<Uint8Array[]> {
  const { signal } = new AbortController()
  const results = photos.map((photo) => server.service.segment({ photo, classes: 'emoji', options: {}, signal }))
  return (await Promise.all(results)).map(({ mask }) => mask)
}

/** The memory of this process after a while of rest, in bytes. */
async function rss(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    global.gc?.()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return process.memoryUsage.rss()
}

export interface SoakReport {
  kinds: Record<Kind, number>
  /** Bytes after a quarter of the requests, and after all of them. */
  early: number
  late: number
}

/** Sends `count` requests. Throws when an answer is wrong. */
export async function soak(count: number, seed: number): Promise<SoakReport> {
  const rejections: unknown[] = []
  const note = (reason: unknown) => rejections.push(reason)
  process.on('unhandledRejection', note)
  const server = await serve({ port: 0, limits: { photoBytes, queue: 1000 }, load: { threads: 2 } })
  try {
    const photos = names.map(sceneFile)
    const masks = await directMasks(server, photos)
    const random = randomFrom(seed)
    const kinds: Record<Kind, number> = { whole: 0, left: 0, malformed: 0, large: 0, broken: 0 }
    const work = async () => {
      const kind = kindOf(random())
      const which = Math.floor(random() * photos.length)
      kinds[kind]++
      check(kind, await send(server.url, requestOf(kind, photos[which] as Buffer, random)), masks[which] as Uint8Array)
    }
    const quarter = Math.floor(count / 4)
    await inParallel(quarter, 16, work)
    const early = await rss()
    await inParallel(count - quarter, 16, work)
    const { uploads, queue } = server.service
    for (let tries = 0; uploads.held + queue.running + queue.waiting && tries < 500; tries++)
      await new Promise((resolve) => setTimeout(resolve, 10))
    assert.equal([uploads.held, queue.running, queue.waiting], [0, 0, 0], 'something is left behind')
    assert.equal(rejections, [])
    return { kinds, early, late: await rss() }
  } finally {
    await server.close()
    process.off('unhandledRejection', note)
  }
}
