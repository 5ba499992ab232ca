import { promises as dns, type LookupAddress } from 'node:dns'
import { type ClientRequest, type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP } from 'node:net'
import { ServerError } from '../errors.js'
import { isPublicAddress } from './addresses.js'
import { type AllowedHosts, shownUrl } from './hosts.js'

/** All addresses of a host. */
export type Resolve = (hostname: string) => Promise<LookupAddress[]>

export interface SendOptions {
  signal: AbortSignal
  method?: 'GET' | 'POST'
  headers?: Record<string, string>
  body?: string
}

/** The error of a request to another host. @param what what the URL is of: 'photo' */
export const cannotReach = (what: string, url: URL, why: string, remedy: string): ServerError =>
  new ServerError(400, 'ERR_BAD_REQUEST', `the ${what} ${shownUrl(url)} ${why}`, remedy)

const bareHost = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, '')

/**
 * Sends requests to allowed hosts only. The addresses of a host are looked up once and checked; the connection goes to one of these, so that a name that
 * changes its address in between (DNS rebinding) gains nothing. Redirects are not followed.
 */
export class AllowedRequests {
  readonly #resolve: Resolve

  /** @param resolve default: the resolver of the system */
  constructor(
    readonly hosts: AllowedHosts,
    resolve?: Resolve,
  ) {
    this.#resolve = resolve ?? ((hostname) => dns.lookup(hostname, { all: true, verbatim: true }))
  }

  /**
   * The headers of an answer. Its body has not been read yet.
   * @throws ERR_FORBIDDEN, ERR_BAD_REQUEST for a host that does not answer, the signal's reason
   */
  async send(url: URL, { signal, method = 'GET', headers, body }: SendOptions): Promise<IncomingMessage> {
    const { what } = this.hosts.purpose
    const { mayBePrivate } = this.hosts.check(url)
    const addresses = await this.#addressesOf(url, mayBePrivate, signal)
    const options: RequestOptions = {
      ...{ signal, method },
      agent: false, // a connection of another request may go to an address that was not checked for this one
      headers: { 'user-agent': 'clip-es-server', ...headers },
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
            : cannotReach(
                what,
                url,
                `cannot be ${method === 'GET' ? 'fetched' : 'sent'} (${cause.code ?? cause.message})`,
                'check the URL and its host',
              ),
        )
      const request: ClientRequest = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options)
      request.on('error', fail).on('response', resolve).end(body)
    })
  }

  async #addressesOf(url: URL, mayBePrivate: boolean, signal: AbortSignal): Promise<LookupAddress[]> {
    const host = bareHost(url)
    const family = isIP(host)
    const addresses = family ? [{ address: host, family }] : await untilAborted(this.#lookUp(url, host), signal)
    const { what, privateOption } = this.hosts.purpose
    if (!mayBePrivate && !addresses.every(({ address }) => isPublicAddress(address)))
      throw new ServerError(
        403,
        'ERR_FORBIDDEN',
        `the host ${url.host} has an address that is not of the public internet`,
        `if ${what}s may go there, start the server with clip-es serve --${privateOption} HOST`,
      )
    return addresses
  }

  async #lookUp(url: URL, host: string): Promise<LookupAddress[]> {
    const addresses = await this.#resolve(host).catch(() => [])
    if (addresses.length) return addresses
    throw cannotReach(this.hosts.purpose.what, url, `cannot be reached: the host ${host} is not known`, 'check the URL')
  }
}

/** @param what what the URL is of. @param base the URL that redirects to it */
export function parseUrl(text: string, what: string, base?: URL): URL {
  try {
    return new URL(text, base)
  } catch (cause) {
    const shown = text.length > 200 ? `${text.slice(0, 200)}…` : text
    throw new ServerError(
      400,
      'ERR_BAD_REQUEST',
      `${base ? `the ${what} ${shownUrl(base)} redirects to '${shown}', which` : `the ${what} '${shown}'`} is not a URL (${(cause as Error).message})`,
      `give a URL such as https://example.org/${what}`,
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
