// A host of photos on this machine, and a resolver that says what a test wants.
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as assert from 'uvu/assert'
import { ServerError } from '../../server/src/errors.js'
import type { Resolve } from '../../server/src/remote/requests.js'

/** The error of a call that must be refused. */
export function refused(call: () => unknown): ServerError {
  try {
    call()
  } catch (error) {
    assert.instance(error, ServerError)
    return error as ServerError
  }
  throw new Error('the call was not refused')
}

/** The error of a promise that must be refused. */
export async function rejected(promise: Promise<unknown>): Promise<ServerError> {
  const error = await promise.then(
    () => new Error('the promise was not rejected'),
    (reason: unknown) => reason,
  )
  assert.instance(error, ServerError, String(error))
  return error as ServerError
}

export interface PhotoHost {
  port: number
  /** What has been asked, the first first. */
  requests: IncomingMessage[]
  close(): Promise<void>
}

/** A server on 127.0.0.1. Close it. */
export async function startPhotoHost(answer: RequestListener): Promise<PhotoHost> {
  const requests: IncomingMessage[] = []
  const server: Server = createServer((request, response) => {
    requests.push(request)
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return { port: (server.address() as AddressInfo).port, requests, close }
}

/** A resolver that knows a few names. A name with several lists gives the next one each time, like a host that rebinds. */
export function resolverOf(
  names: Record<string, readonly string[] | readonly (readonly string[])[]>,
): Resolve & { asked: string[] } {
  const asked: string[] = []
  const resolve = async (name: string) => {
    const count = asked.filter((other) => other === name).length
    asked.push(name)
    const known = names[name]
    if (!known) throw new Error('ENOTFOUND')
    const [first] = known
    const list = (typeof first === 'string' ? known : known[Math.min(count, known.length - 1)]) as readonly string[]
    return list.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
  }
  return Object.assign(resolve, { asked })
}
