import { promises as dns, type LookupAddress } from 'node:dns'
import { type ClientRequest, type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP } from 'node:net'
import { ServerError } from '../errors.js'
import { isPublicAddress } from './addresses.js'
import { AllowedHosts, type HostOptions, shownUrl } from './hosts.js'

/** All addresses of a host. */
export type Resolve = (hostname: string) => Promise<LookupAddress[]>

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

const cannot = (url: URL, why: string, remedy: string): ServerError =>
  new ServerError(400, 'ERR_BAD_REQUEST', `the photo ${shownUrl(url)} ${why}`, remedy)

const bareHost = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, '')

/**
 * Fetches photos by their URLs, from allowed hosts only. The addresses of a host are looked up once and checked; the connection goes to one of
 * these, so that a name that changes its address in between (DNS rebinding) gains nothing. Redirects are checked like the first URL.
 */
export class RemotePhotos {
  readonly #hosts: AllowedHosts
  readonly #options: RemoteOptions
  readonly #resolve: Resolve

  /** @throws ERR_INVALID_ARG for a host that is not one */
  constructor(options: RemoteOptions) {
    this.#hosts = new AllowedHosts(options)
    this.#options = options
    this.#resolve = options.resolve ?? ((hostname) => dns.lookup(hostname, { all: true, verbatim: true }))
  }

  /**
   * The bytes of a photo. What kind of content the host calls them does not matter: they are read as an image or refused.
   * @throws ERR_FORBIDDEN, ERR_TOO_LARGE, ERR_BAD_REQUEST for a host that does not answer with a photo, the signal's reason
   */
  async fetch(address: string, { signal, authorization, hold = () => {} }: FetchOptions): Promise<Buffer> {
    const { time } = this.#options
    const timeout = AbortSignal.timeout(time)
    const both = AbortSignal.any([signal, timeout])
    const first = parseUrl(address)
    let url = first
    try {
      for (let count = 0; count <= mostRedirects; count++) {
        const secret = url.origin === first.origin ? authorization : undefined
        const response = await this.#ask(url, secret, both)
        if (!redirects.includes(response.statusCode)) return await this.#read(url, response, hold, both)
        response.destroy()
        if (!response.headers.location) throw cannot(url, 'redirects without saying where to', 'check the URL')
        url = parseUrl(response.headers.location, url)
      }
    } catch (error) {
      signal.throwIfAborted()
      if (timeout.aborted)
        throw cannot(url, `had not arrived after ${time / 1000} s`, 'use a faster host, or send the photo itself')
      throw error
    }
    throw cannot(first, `redirects more than ${mostRedirects} times`, 'give the URL that it leads to')
  }

  /** The headers of an answer. Its body has not been read yet. */
  async #ask(url: URL, authorization: string | undefined, signal: AbortSignal): Promise<IncomingMessage> {
    const { mayBePrivate } = this.#hosts.check(url)
    const addresses = await this.#addressesOf(url, mayBePrivate, signal)
    const options: RequestOptions = {
      signal,
      agent: false, // a connection of another request may go to an address that was not checked for this one
      headers: {
        ...{ accept: 'image/*', 'accept-encoding': 'identity', 'user-agent': 'clip-es-server' },
        ...(authorization !== undefined && { authorization }),
      },
      lookup: (_, { all }, callback) => {
        const [{ address, family }] = addresses as [LookupAddress]
        if (all) callback(null, addresses)
        else callback(null, address, family)
      },
    }
    return await new Promise((resolve, reject) => {
      const fail = (cause: NodeJS.ErrnoException) =>
        reject(
          signal.aborted
            ? signal.reason
            : cannot(url, `cannot be fetched (${cause.code ?? cause.message})`, 'check the URL and its host'),
        )
      const request: ClientRequest = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options)
      request.on('error', fail).on('response', resolve).end()
    })
  }

  async #addressesOf(url: URL, mayBePrivate: boolean, signal: AbortSignal): Promise<LookupAddress[]> {
    const host = bareHost(url)
    const family = isIP(host)
    const addresses = family ? [{ address: host, family }] : await untilAborted(this.#lookUp(url, host), signal)
    if (!mayBePrivate && !addresses.every(({ address }) => isPublicAddress(address)))
      throw new ServerError(
        403,
        'ERR_FORBIDDEN',
        `the host ${url.host} has an address that is not of the public internet`,
        'if photos may be fetched from there, start the server with clip-es serve --private-host HOST',
      )
    return addresses
  }

  async #lookUp(url: URL, host: string): Promise<LookupAddress[]> {
    const addresses = await this.#resolve(host).catch(() => [])
    if (addresses.length) return addresses
    throw cannot(url, `cannot be fetched: the host ${host} is not known`, 'check the URL')
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

function parseUrl(text: string, base?: URL): URL {
  try {
    return new URL(text, base)
  } catch (cause) {
    const shown = text.length > 200 ? `${text.slice(0, 200)}…` : text
    throw new ServerError(
      400,
      'ERR_BAD_REQUEST',
      `${base ? `the photo ${shownUrl(base)} redirects to '${shown}', which` : `the photo '${shown}'`} is not a URL (${(cause as Error).message})`,
      'give a URL such as https://example.org/photo.jpg',
    )
  }
}

/** Waits no longer than a signal allows. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  let stop = () => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
