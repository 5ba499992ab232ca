import type { IncomingMessage } from 'node:http'
import { ServerError } from '../errors.js'
import { AllowedHosts, type HostOptions, shownUrl } from './hosts.js'
import { AllowedRequests, cannotReach, parseUrl, type Resolve } from './requests.js'

export interface RemoteOptions extends HostOptions {
  /** Bytes of a photo. */
  photoBytes: number
  /** Milliseconds from the question for the host's address to the photo's last byte, with all redirects. */
  time: number
  /** Default: the resolver of the system. */
  resolve?: Resolve
}

export interface FetchOptions {
  signal: AbortSignal
  /** Sent to the host of the URL only, not to where it redirects. */
  authorization?: string
  /** Counts bytes as they arrive. Throws if there is no room. */
  hold?: (bytes: number) => void
}

const mostRedirects = 3
const redirects: readonly (number | undefined)[] = [301, 302, 303, 307, 308]

const cannot = (url: URL, why: string, remedy: string): ServerError => cannotReach('photo', url, why, remedy)

/** Fetches photos by their URLs, from allowed hosts only. Redirects are checked like the first URL. */
export class RemotePhotos {
  readonly #requests: AllowedRequests
  readonly #options: RemoteOptions

  /** @throws ERR_INVALID_ARG for a host that is not one */
  constructor(options: RemoteOptions) {
    this.#requests = new AllowedRequests(new AllowedHosts(options), options.resolve)
    this.#options = options
  }

  /** Checks everything that an address tells before anything is sent. @throws ERR_FORBIDDEN, ERR_BAD_REQUEST */
  check(address: string): void {
    this.#requests.hosts.check(parseUrl(address, 'photo'))
  }

  /**
   * The bytes of a photo. What kind of content the host calls them does not matter: they are read as an image or refused.
   * @throws ERR_FORBIDDEN, ERR_TOO_LARGE, ERR_BAD_REQUEST for a host that does not answer with a photo, the signal's reason
   */
  async fetch(address: string, { signal, authorization, hold = () => {} }: FetchOptions): Promise<Buffer> {
    const { time } = this.#options
    const timeout = AbortSignal.timeout(time)
    const both = AbortSignal.any([signal, timeout])
    const first = parseUrl(address, 'photo')
    let url = first
    try {
      for (let count = 0; count <= mostRedirects; count++) {
        const secret = url.origin === first.origin ? authorization : undefined
        const headers = {
          ...{ accept: 'image/*', 'accept-encoding': 'identity' },
          ...(secret !== undefined && { authorization: secret }),
        }
        const response = await this.#requests.send(url, { headers, signal: both })
        if (!redirects.includes(response.statusCode)) return await this.#read(url, response, hold, both)
        response.destroy()
        if (!response.headers.location) throw cannot(url, 'redirects without saying where to', 'check the URL')
        url = parseUrl(response.headers.location, 'photo', url)
      }
    } catch (error) {
      signal.throwIfAborted()
      if (timeout.aborted)
        throw cannot(url, `had not arrived after ${time / 1000} s`, 'use a faster host, or send the photo itself')
      throw error
    }
    throw cannot(first, `redirects more than ${mostRedirects} times`, 'give the URL that it leads to')
  }

  async #read(url: URL, response: IncomingMessage, hold: (bytes: number) => void, signal: AbortSignal): Promise<Buffer> {
    const { photoBytes } = this.#options
    const { 'content-length': length, 'content-encoding': encoding = 'identity' } = response.headers
    try {
      if (response.statusCode !== 200) throw cannot(url, `was answered with the status ${response.statusCode}`, 'check the URL')
      if (encoding !== 'identity') throw cannot(url, `is compressed (${encoding})`, 'serve photos as they are')
      const tooLarge = `the photo ${shownUrl(url)} has more than ${photoBytes} bytes`
      if (Number(length) > photoBytes) throw new ServerError(413, 'ERR_TOO_LARGE', tooLarge, 'reduce it first')
      const chunks: Buffer[] = []
      let total = 0
      for await (const chunk of response as AsyncIterable<Buffer>) {
        total += chunk.length
        if (total > photoBytes) throw new ServerError(413, 'ERR_TOO_LARGE', tooLarge, 'reduce it first')
        hold(chunk.length)
        chunks.push(chunk)
      }
      return Buffer.concat(chunks, total)
    } catch (error) {
      signal.throwIfAborted()
      if ((error as NodeJS.ErrnoException).code === 'ECONNRESET') throw cannot(url, 'ended early', 'try again')
      throw error
    } finally {
      response.destroy()
    }
  }
}
