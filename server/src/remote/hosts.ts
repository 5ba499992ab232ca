import { invalid, show } from 'clip-es/support'
import { ServerError } from '../errors.js'

/** From which hosts the server may fetch photos. */
export interface HostOptions {
  /** Hosts with addresses of the public internet. */
  remoteHosts?: readonly string[]
  /** Hosts that may have any address, also private ones and this machine's. */
  privateHosts?: readonly string[]
}

interface Pattern {
  /** In lower case; of '*.example.org', '.example.org'. */
  name: string
  /** Without one, the default port of the scheme. */
  port: string | undefined
  mayBePrivate: boolean
}

const pattern = /^(\*\.)?([a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])(?::(\d{1,5}))?$/

function parsePattern(text: string, mayBePrivate: boolean): Pattern {
  const option = mayBePrivate ? 'privateHosts' : 'remoteHosts'
  const [, wildcard, name, port] = pattern.exec(text.toLowerCase()) ?? []
  if (name === undefined)
    throw invalid(`${option} has ${show(text)}; expected a host such as 'example.org', '*.example.org' or 'example.org:8443'`)
  return { name: wildcard ? `.${name}` : name, port, mayBePrivate }
}

/** A URL for messages: without a password or a signature. */
export const shownUrl = ({ protocol, host, pathname }: URL): string =>
  `${protocol}//${host}${pathname.length > 200 ? `${pathname.slice(0, 200)}…` : pathname}`

const forbidden = (message: string, remedy: string) => new ServerError(403, 'ERR_FORBIDDEN', message, remedy)

/** The list of hosts from which photos may be fetched. */
export class AllowedHosts {
  readonly #patterns: readonly Pattern[]

  /** @throws ERR_INVALID_ARG for a host that is not one */
  constructor({ remoteHosts = [], privateHosts = [] }: HostOptions) {
    this.#patterns = [
      ...privateHosts.map((text) => parsePattern(text, true)),
      ...remoteHosts.map((text) => parsePattern(text, false)),
    ]
  }

  /**
   * Checks everything that a URL tells without its host's addresses.
   * @returns whether its host may have any address
   * @throws ERR_FORBIDDEN
   */
  check(url: URL): { mayBePrivate: boolean } {
    if (url.protocol !== 'http:' && url.protocol !== 'https:')
      throw forbidden(`the photo's URL begins with ${url.protocol}`, 'give a URL that begins with https: or http:')
    if (url.username !== '' || url.password !== '')
      throw forbidden(`the photo's URL ${shownUrl(url)} has a user name or a password`, 'give a URL without them')
    const found = this.#patterns.find(({ name, port }) => {
      const isHost = name.startsWith('.') ? url.hostname.endsWith(name) : url.hostname === name
      return isHost && (url.port === '' ? port === undefined || port === defaultPort(url) : url.port === port)
    })
    if (found) return found
    throw forbidden(
      `photos are not fetched from the host ${url.host}`,
      this.#patterns.length
        ? 'send the photo itself, or start the server with the host in its list: clip-es serve --remote-host HOST'
        : 'send the photo itself, or start the server with a list of hosts: clip-es serve --remote-host HOST',
    )
  }
}

const defaultPort = ({ protocol }: URL): string => (protocol === 'https:' ? '443' : '80')
