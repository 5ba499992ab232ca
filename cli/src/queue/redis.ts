import { Redis } from 'ioredis'
import { complain } from '../shared/say.js'
import { messageOf } from '../shared/wording.js'

/** Gives the password, for those who do not want it in a command line, which other users of the machine can read. */
export const passwordVariable = 'CLIP_ES_REDIS_PASSWORD'

/** Redis cannot be reached or refuses this client, when a command starts. */
export class RedisError extends Error {
  readonly code = 'ERR_REDIS'
}

/** The URL without its password, for messages. */
export function shownUrl(url: string): string {
  const shown = new URL(url)
  if (shown.password) shown.password = '***'
  return shown.href
}

const connectTimeout = 10_000 // milliseconds
const silence = 30_000 // milliseconds without an answer, after which a connection is given up and made again
const slowestRetry = 5_000 // milliseconds between attempts

/**
 * Connects to Redis. Later on, a lost connection is reported once and made again for as long as the process runs.
 * @param url redis:// or rediss://, checked by `redisUrl`
 * @throws RedisError
 */
export async function connect(url: string): Promise<Redis> {
  const { protocol, hostname, port, username, password, pathname } = new URL(url)
  const db = Number(pathname.slice(1) || 0)
  let connected = false
  const redis = new Redis({
    host: hostname.replace(/^\[(.*)\]$/, '$1'), // IPv6
    port: Number(port || 6379),
    db,
    ...(username ? { username: decodeURIComponent(username) } : {}),
    password: password ? decodeURIComponent(password) : process.env[passwordVariable],
    ...(protocol === 'rediss:' ? { tls: {} } : {}),
    ...{ lazyConnect: true, maxRetriesPerRequest: null, connectTimeout, socketTimeout: silence },
    retryStrategy: (times) => (connected ? Math.min(200 * times, slowestRetry) : null),
  })
  let last: unknown
  redis.on('error', (error) => {
    last = error
  })
  try {
    await redis.connect()
    await redis.select(db) // by itself ioredis goes on with another one where there is none of that number
  } catch (error) {
    redis.disconnect()
    throw new RedisError(explain(url, last ?? error))
  }
  connected = true
  reportLosses(redis, url, () => last)
  await checkPolicy(redis)
  return redis
}

function reportLosses(redis: Redis, url: string, last: () => unknown): void {
  let lost = false
  redis.on('reconnecting', () => {
    if (!lost) complain(`clip-es: the connection to Redis at ${shownUrl(url)} is lost (${reasonOf(last())}); trying again`)
    lost = true
  })
  redis.on('ready', () => {
    if (lost) complain('clip-es: Redis is back')
    lost = false
  })
}

const reasonOf = (error: unknown): string => (error === undefined ? 'it was closed' : messageOf(error))

/** Redis may not forget keys when its memory is full: jobs would be lost. */
async function checkPolicy(redis: Redis): Promise<void> {
  const policy = /maxmemory_policy:(\S+)/.exec(await redis.info('memory').catch(() => ''))?.[1]
  if (policy !== undefined && policy !== 'noeviction')
    complain(
      `clip-es: Redis has the maxmemory-policy '${policy}' and may drop jobs when its memory is full; set it to noeviction`,
    )
}

/** What to do, by the beginning of the error's code or message. */
const remedies: readonly (readonly [pattern: RegExp, text: string])[] = [
  [/WRONGPASS|invalid password|invalid username/i, `check the user and the password in the URL, or in $${passwordVariable}`],
  [/NOAUTH/, `it needs a password: write redis://:PASSWORD@host, or set $${passwordVariable}`],
  [/NOPERM/, 'its ACL does not allow this user what is needed; docs/machines.md has an example'],
  [/without any password configured/, 'it has no password: leave it out of the URL'],
  [/ECONNREFUSED/, 'start redis-server there, or check host and port'],
  [/ENOTFOUND|EAI_AGAIN/, 'check the name of the host'],
  [
    /ETIMEDOUT|EHOSTUNREACH|ENETUNREACH/,
    'check the network and the firewall, and that it speaks TLS if and only if the URL begins with rediss:',
  ],
  [/certificate|self.signed/i, 'name the file of its certificate authority in $NODE_EXTRA_CA_CERTS'],
  [/DB index/, 'this Redis has no database of that number; choose another one at the end of the URL'],
]

function explain(url: string, error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException
  const text = `${code} ${message}`
  const remedy = remedies.find(([pattern]) => pattern.test(text))?.[1] ?? 'check the URL, and that a Redis server answers there'
  return `Redis at ${shownUrl(url)} cannot be used (${message || code || 'no answer'}); ${remedy}`
}
