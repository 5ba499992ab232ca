import { randomBytes, timingSafeEqual } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'
import type { Exchange, PhotoState } from '../dataset/photo.js'
import { isDiskError } from '../pipeline/pipeline.js'
import type { OutputKind } from '../results/store.js'
import { messageOf } from '../shared/wording.js'
import type { DatasetItem } from '../sources/dataset.js'
import type { Address } from './options.js'
import type { Served } from './runs.js'
import { mostResultBytes, readState, stateHeader, unpackResult, writeState } from './served.js'

export interface PhotoServerOptions {
  address: Address
  exchange: Exchange
  outputs: readonly OutputKind[]
  /** settingsHash: results of other settings are refused. */
  settings: string
  /** The photo of a job that is in the queue. Workers name photos by job and place, never by path. */
  photo(job: string, place: number): DatasetItem | undefined
  /** A result cannot be written: every other one would fail in the same way. */
  onDiskError(error: Error): void
}

/** Serves photos to workers and takes their results. */
export interface PhotoServer extends Served {
  close(): Promise<void>
}

const mostAtATime = 64 // results in memory

/** @throws the error of the network when it cannot listen at the address */
export async function servePhotos(options: PhotoServerOptions): Promise<PhotoServer> {
  const token = randomBytes(32).toString('hex')
  const { host, port } = options.address
  let receiving = 0
  const server = createServer((request, response) => {
    const answer = (status: number, text = '') => {
      if (!response.headersSent) response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' })
      response.end(text)
    }
    receiving++
    const handled =
      receiving > mostAtATime ? Promise.resolve(answer(503, 'busy')) : handle(request, response, token, options, answer)
    handled.catch((error) => answer(500, messageOf(error))).finally(() => receiving--)
  })
  server.requestTimeout = 120_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const shown = host.includes(':') ? `[${host}]` : host
  return {
    kind: 'http',
    url: `http://${shown}:${(server.address() as AddressInfo).port}`,
    token,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

type Answer = (status: number, text?: string) => void

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  token: string,
  options: PhotoServerOptions,
  answer: Answer,
): Promise<void> {
  if (!isAllowed(request.headers.authorization, token)) return answer(401, 'the token is wrong')
  const [, job = '', place] = /^\/jobs\/(j[0-9a-f]{20})\/(\d{1,4})$/.exec(request.url ?? '') ?? []
  const item = place === undefined ? undefined : options.photo(job, Number(place))
  if (item === undefined) return answer(410, 'this job is not in the queue any more')
  if (request.method === 'GET') return await sendPhoto(response, item, options.exchange, answer)
  if (request.method === 'PUT') return await takeResult(request, item, options, answer)
  return answer(405, 'GET and PUT are answered')
}

/** Takes as long for every wrong token. */
function isAllowed(header: string | undefined, token: string): boolean {
  const [given, expected] = [Buffer.alloc(80), Buffer.alloc(80)]
  given.write(header ?? '')
  expected.write(`Bearer ${token}`)
  return timingSafeEqual(given, expected) && header?.length === 'Bearer '.length + token.length
}

async function sendPhoto(response: ServerResponse, item: DatasetItem, exchange: Exchange, answer: Answer): Promise<void> {
  const state = stateOf(item, exchange)
  if (typeof state === 'string') return answer(422, state)
  const file = createReadStream(item.photo)
  await new Promise<void>((resolve, reject) => file.once('open', () => resolve()).once('error', reject))
  response.writeHead(200, { 'content-type': 'application/octet-stream', [stateHeader]: writeState(state) })
  await pipeline(file, response)
}

/** The state of a photo's file, or why the photo cannot be done. */
function stateOf(item: DatasetItem, exchange: Exchange): PhotoState | string {
  try {
    const state = exchange.prepare(item)
    return state.bytes ? state : `${item.photo}: there is no such file, or it is empty`
  } catch (error) {
    return messageOf(error)
  }
}

async function takeResult(
  request: IncomingMessage,
  item: DatasetItem,
  { exchange, outputs, settings, onDiskError }: PhotoServerOptions,
  answer: Answer,
): Promise<void> {
  const state = readState(request.headers[stateHeader])
  if (state === undefined) return answer(400, `the header ${stateHeader} is missing`)
  const body = await readBody(request)
  if (body === undefined) return answer(413, `results may have up to ${mostResultBytes} bytes`)
  let result: ReturnType<typeof unpackResult>
  try {
    result = unpackResult(body, outputs)
  } catch (error) {
    return answer(400, messageOf(error))
  }
  if (result.entry.settings !== settings) return answer(409, 'the results are of other settings')
  try {
    const { labels, ...entry } = result.entry
    await exchange.save(result.files, { ...item, labels, ...state, ...entry })
  } catch (error) {
    if (!isDiskError(error)) return answer(422, messageOf(error))
    onDiskError(error as Error)
    return answer(507, messageOf(error))
  }
  answer(204)
}

/** Undefined where it is too long. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > mostResultBytes) return undefined
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > mostResultBytes) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
