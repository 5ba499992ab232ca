import { invalid, show } from 'clip-es/support'
import { ServerError } from '../errors.js'

/** Which hosts the server may send requests to. */
export interface HostOptions {
  /** Hosts with addresses of the public internet. */
  remoteHosts?: readonly string[]
  /** Hosts that may have any address, also private ones and this machine's. */
  privateHosts?: readonly string[]
}

/** What requests are for, as error messages say it. */
export interface Purpose {
  what: string
  /** The host's name follows. */
  refusal: string
  /** What else the client can do. */
  instead: string
  /** The server's options. */
  option: string
  privateOption: string
}

export const forPhotos: Purpose = {
  what: 'photo',
  refusal: 'photos are not fetched from the host',
  instead: 'send the photo itself',
  option: 'remote-host',
  privateOption: 'private-host',
}

export const forCallbacks: Purpose = {
  what: 'callback',
  refusal: 'callbacks are not sent to the host',
  instead: 'leave callback out and ask for the state',
  option: 'callback-host',
  privateOption: 'private-callback-host',
}

interface Pattern {
  /** In lower case; of '*.example.org', '.example.org'. */
  name: string
  /** Without one, the default port of the scheme. */
  port: string | undefined
  mayBePrivate: boolean
}

const pattern = /^(\*\.)?([a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])(?::(\d{1,5}))?$/

/** 'remote-host' as the plugin calls it: 'remoteHosts'. */
const inCode = (option: string): string => `${option.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())}s`

function parsePattern(text: string, mayBePrivate: boolean, purpose: Purpose): Pattern {
  const option = inCode(mayBePrivate ? purpose.privateOption : purpose.option)
  const [, wildcard, name, port] = pattern.exec(text.toLowerCase()) ?? []
  if (name === undefined)
    throw invalid(`${option} has ${show(text)}; expected a host such as 'example.org', '*.example.org' or 'example.org:8443'`)
  return { name: wildcard ? `.${name}` : name, port, mayBePrivate }
}

/** A URL for messages: without a password or a signature. */
export const shownUrl = ({ protocol, host, pathname }: URL): string =>
  `${protocol}//${host}${pathname.length > 200 ? `${pathname.slice(0, 200)}…` : pathname}`

const forbidden = (message: string, remedy: string) => new ServerError(403, 'ERR_FORBIDDEN', message, remedy)

/** The list of hosts that requests may go to. */
export class AllowedHosts {
  readonly #patterns: readonly Pattern[]

  /** @throws ERR_INVALID_ARG for a host that is not one */
  constructor(
    { remoteHosts = [], privateHosts = [] }: HostOptions,
    readonly purpose: Purpose = forPhotos,
  ) {
    this.#patterns = [
      ...privateHosts.map((text) => parsePattern(text, true, purpose)),
      ...remoteHosts.map((text) => parsePattern(text, false, purpose)),
    ]
  }

  /**
   * Checks everything that a URL tells without its host's addresses.
   * @returns whether its host may have any address
   * @throws ERR_FORBIDDEN
   */
  check(url: URL): { mayBePrivate: boolean } {
    const { what, refusal, instead, option } = this.purpose
    if (url.protocol !== 'http:' && url.protocol !== 'https:')
      throw forbidden(`the ${what}'s URL begins with ${url.protocol}`, 'give a URL that begins with https: or http:')
    if (url.username !== '' || url.password !== '')
      throw forbidden(`the ${what}'s URL ${shownUrl(url)} has a user name or a password`, 'give a URL without them')
    const found = this.#patterns.find(({ name, port }) => {
      const isHost = name.startsWith('.') ? url.hostname.endsWith(name) : url.hostname === name
      return isHost && (url.port === '' ? port === undefined || port === defaultPort(url) : url.port === port)
    })
    if (found) return found
    throw forbidden(
      `${refusal} ${url.host}`,
      `${instead}, or start the server with ${this.#patterns.length ? 'the host in its list' : 'a list of hosts'}: clip-es serve --${option} HOST`,
    )
  }
}

const defaultPort = ({ protocol }: URL): string => (protocol === 'https:' ? '443' : '80')
