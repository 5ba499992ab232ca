import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import { invalid } from 'clip-es/support'
import type { FastifyRequest } from 'fastify'
import { ServerError } from '../errors.js'

const shortest = 16
const digest = (key: string): Buffer => createHash('sha256').update(key).digest()

function checkKey(key: string, from: string): string {
  if (key.length >= shortest && !/\s/.test(key)) return key
  throw invalid(
    `${from} has a key of ${key.length} characters; expected at least ${shortest}, without spaces: openssl rand -hex 24 makes one`,
  )
}

/** The keys of a file: one a line; empty lines and lines that begin with # are left out. */
function readKeys(file: string): string[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw invalid(`the file of API keys ${file} cannot be read (${(cause as Error).message}); write one key a line into it`, {
      cause,
    })
  }
  const lines = text.split('\n').map((line) => line.trim())
  const keys = lines.filter((line) => line !== '' && !line.startsWith('#')).map((key) => checkKey(key, file))
  if (!keys.length) throw invalid(`the file of API keys ${file} has no key; write one key a line into it`)
  return keys
}

/** The key of the header Authorization: a bearer token, or the password of basic authentication, which Label Studio sends. */
function keyIn(authorization = ''): string | undefined {
  const [, scheme, text = ''] = /^(Bearer|Basic) +(\S+)$/i.exec(authorization) ?? []
  if (scheme === undefined) return undefined
  return scheme.toLowerCase() === 'bearer'
    ? text
    : Buffer.from(text, 'base64')
        .toString('utf8')
        .replace(/^[^:]*:/, '')
}

/** The API keys that requests may have. Those of a file are read again when the file changes. */
export class ApiKeys {
  readonly #fixed: readonly Buffer[]
  readonly #file: string | undefined
  #fromFile: readonly Buffer[] = []

  /**
   * @param onReload is told that the file was read again, or why it cannot be, in which case the keys stay as they were
   * @throws ERR_INVALID_ARG for a key that is too short, and for a file that cannot be read
   */
  constructor(keys: readonly string[], file: string | undefined, onReload: (error?: Error) => void) {
    this.#fixed = keys.map((key) => digest(checkKey(key, 'the list of API keys')))
    this.#file = file
    if (file === undefined) return
    this.#fromFile = readKeys(file).map(digest)
    watchFile(file, { interval: 1000, persistent: false }, () => {
      try {
        this.#fromFile = readKeys(file).map(digest)
        onReload()
      } catch (error) {
        onReload(error as Error)
      }
    })
  }

  /** Whether requests need a key at all. */
  get needed(): boolean {
    return this.#fixed.length > 0 || this.#file !== undefined
  }

  /** Compares with every key in constant time: how long it takes tells nothing about the keys. */
  has(key: string): boolean {
    const given = digest(key)
    let found = false
    for (const known of [...this.#fixed, ...this.#fromFile]) found = timingSafeEqual(given, known) || found
    return found
  }

  /** @throws ERR_UNAUTHORIZED */
  check({ headers }: FastifyRequest): void {
    const [other] = [headers['x-api-key']].flat()
    const key = keyIn(headers.authorization) ?? other
    if (key !== undefined && this.has(key)) return
    throw new ServerError(
      401,
      'ERR_UNAUTHORIZED',
      key === undefined ? 'the request has no API key' : 'the API key is not known',
      'send the header Authorization: Bearer KEY',
    )
  }

  close(): void {
    if (this.#file !== undefined) unwatchFile(this.#file)
  }
}
