// What the tests of the server share: a server in this process, with the embedded model.
import { readFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { type Problem, type RunningServer, type ServeOptions, type ServerError, serve } from '../../server/src/index.js'
import { root } from '../unit/support.js'

export { root }

/** The bytes of a demo scene, 'scene01' to 'scene12': a PNG of 320 x 240 pixels. */
export const sceneFile = (name: string): Buffer => readFileSync(join(root, 'models/scenes', `${name}.png`))

/** The labels of the demo scenes. */
export const sceneLabels = (name: string): string[] =>
  (JSON.parse(readFileSync(join(root, 'models/scenes/labels.json'), 'utf8')) as Record<string, { labels: string[] }>)[name]
    ?.labels as string[]

/** A server on a free port of this machine, with the embedded model. Close it. */
export const startServer = (options: ServeOptions = {}): Promise<RunningServer> =>
  serve({ port: 0, ...options, load: { threads: 2, precision: 'float32', ...options.load } })

/** Sends a photo as the body, with options in the query. */
export const post = (
  { url }: { url: string },
  path: string,
  body: Buffer | string | FormData,
  headers: Record<string, string> = {},
): Promise<Response> =>
  fetch(`${url}${path}`, { method: 'POST', body: Buffer.isBuffer(body) ? new Uint8Array(body) : body, headers })

/** Sends a JSON body. */
export const postJson = (server: { url: string }, path: string, body: unknown): Promise<Response> =>
  post(server, path, JSON.stringify(body), { 'content-type': 'application/json' })

/** The body of an answer that must be an error of this status. */
export async function problem(response: Response, status: number): Promise<Problem> {
  assert.is(response.status, status, await response.clone().text())
  assert.is(response.headers.get('content-type'), 'application/problem+json; charset=utf-8')
  const body = (await response.json()) as Problem
  assert.is(body.status, status)
  return body
}

export const bytesOf = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer())

/** Resolves when a condition holds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await condition()); tries++) {
    if (tries > 1000) throw new Error(`it never held: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** What a promise resolves to, or rejects with. */
export const oneOf = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error)

/** The status, code, message and remedy of the error of a call, or that it was let through. */
export function outcomeOf(call: () => unknown): string {
  try {
    call()
    return 'let through'
  } catch (error) {
    const { status, code, message, remedy } = error as ServerError
    return [status, code, message, remedy].filter((part) => part !== undefined).join(' | ')
  }
}

/** GET with headers that fetch does not let through. */
export const rawGet = (url: string, path: string, headers: Record<string, string>): Promise<{ status: number; body: string }> =>
  new Promise((resolve, reject) => {
    get(`${url}${path}`, { headers }, (response) => {
      let body = ''
      response
        .setEncoding('utf8')
        .on('data', (chunk) => {
          body += chunk
        })
        .on('end', () => resolve({ status: response.statusCode as number, body }))
    }).on('error', reject)
  })
