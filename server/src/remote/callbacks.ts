import { setTimeout } from 'node:timers/promises'
import { ServerError } from '../errors.js'
import { AllowedHosts, forCallbacks, type HostOptions } from './hosts.js'
import { AllowedRequests, cannotReach, parseUrl, type Resolve } from './requests.js'

export interface CallbackOptions extends HostOptions {
  /** Milliseconds for one attempt. */
  time: number
  /** Milliseconds before each attempt after the first. Default: 1, 5, 30 and 120 seconds. */
  pauses?: readonly number[]
  /** Default: the resolver of the system. */
  resolve?: Resolve
}

/** Tells other servers by POST that something has ended: allowed hosts only, and no redirects. */
export class Callbacks {
  readonly #requests: AllowedRequests
  readonly #time: number
  readonly #pauses: readonly number[]

  /** @throws ERR_INVALID_ARG for a host that is not one */
  constructor({ time, pauses = [1000, 5000, 30_000, 120_000], resolve, ...hosts }: CallbackOptions) {
    this.#requests = new AllowedRequests(new AllowedHosts(hosts, forCallbacks), resolve)
    this.#time = time
    this.#pauses = pauses
  }

  /** Checks everything that an address tells before anything is sent. @throws ERR_FORBIDDEN, ERR_BAD_REQUEST */
  check(address: string): void {
    this.#requests.hosts.check(parseUrl(address, 'callback'))
  }

  /**
   * Sends a value as JSON, several times if need be, until the host answers with 2xx.
   * @throws ERR_FORBIDDEN, ERR_BAD_REQUEST, the signal's reason
   */
  async send(address: string, value: unknown, signal: AbortSignal): Promise<void> {
    const url = parseUrl(address, 'callback')
    for (const pause of [...this.#pauses, undefined]) {
      try {
        return await this.#try(url, JSON.stringify(value), signal)
      } catch (error) {
        signal.throwIfAborted()
        if (pause === undefined || (error as ServerError).status === 403) throw error
        await setTimeout(pause, undefined, { signal }).catch(() => signal.throwIfAborted()) // with its reason
      }
    }
  }

  async #try(url: URL, body: string, signal: AbortSignal): Promise<void> {
    const time = AbortSignal.timeout(this.#time)
    const headers = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }
    const response = await this.#requests
      .send(url, { method: 'POST', headers, body, signal: AbortSignal.any([signal, time]) })
      .catch((error: unknown) => {
        throw error instanceof ServerError
          ? error
          : cannotReach('callback', url, `was not answered within ${this.#time / 1000} s`, 'check the host')
      })
    response.destroy() // what it says does not matter
    const { statusCode = 0 } = response
    if (statusCode < 200 || statusCode > 299)
      throw cannotReach('callback', url, `was answered with the status ${statusCode}`, 'answer it with 200')
  }
}
