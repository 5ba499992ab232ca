import { type Command, InvalidArgumentError } from 'commander'

/** Which queue is meant. */
export interface QueueOptions {
  /** redis:// or rediss:// */
  url: string
  name: string
}

export const defaultName = 'clip-es'

export const urlHelp = 'redis://[user:password@]host[:port][/db], or rediss:// for TLS'

/** Reads a URL of a Redis, commander's way. */
export function redisUrl(text: string): string {
  const example = 'Expected a URL such as redis://host:6379/0 or rediss://user:password@host.'
  if (!URL.canParse(text)) throw new InvalidArgumentError(example)
  const { protocol, hostname, pathname } = new URL(text)
  if (!/^rediss?:$/.test(protocol) || !hostname || !/^(\/\d{0,5})?$/.test(pathname)) throw new InvalidArgumentError(example)
  return text
}

/** Reads the name of a queue. BullMQ and patterns of Redis give other characters a meaning. */
export function queueName(text: string): string {
  if (/^[\w.-]{1,64}$/.test(text)) return text
  throw new InvalidArgumentError('Expected 1 to 64 letters, digits, dots, hyphens or underscores.')
}

/** Host and port of an address on this machine. */
export interface Address {
  host: string
  port: number
}

/** Reads `[host:]port`, commander's way. Without a host only this machine can connect. */
export function address(text: string): Address {
  const [, host = '127.0.0.1', port] = /^(?:(.+):)?(\d{1,5})$/.exec(text) ?? []
  if (port === undefined || Number(port) > 65535) throw new InvalidArgumentError('Expected [host:]port, such as 10.0.0.5:7000.')
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) }
}

export const addNameOption = (command: Command): Command =>
  command.option('--name <name>', 'name of the queue, if one Redis serves several', queueName, defaultName)
