import { basename, extname, resolve } from 'node:path'
import type { ClassFile } from 'clip-es'
import type { ServeOptions } from 'clip-es-server'
import { classFileNamed } from '../shared/class_sets.js'
import { loadOptions } from '../shared/engine_options.js'
import { complain, say } from '../shared/say.js'
import { stopSignal } from '../shared/stop.js'
import { asUsage, UsageError } from '../shared/usage.js'
import { limitsOf, type ServeArguments } from './options.js'

/** Class files by the names that requests use. */
function classFiles(files: readonly string[] = []): Record<string, ClassFile> {
  const named: Record<string, ClassFile> = {}
  for (const file of files) {
    const name = basename(file, extname(file))
    if (named[name]) throw new UsageError(`two class files are called ${name}; rename one, because requests use this name`)
    named[name] = classFileNamed(file)
  }
  return named
}

function tlsOf({ tlsCert, tlsKey }: ServeArguments): ServeOptions['tls'] {
  if (tlsCert !== undefined && tlsKey !== undefined) return { cert: tlsCert, key: tlsKey }
  if (tlsCert === undefined && tlsKey === undefined) return undefined
  throw new UsageError('--tls-cert and --tls-key belong together: give both')
}

/** From where photos may be fetched. A token is not an option of the command, because others can see those. */
function remoteOf({ remoteHost, privateHost, labelStudio: url }: ServeArguments): ServeOptions {
  const token = process.env.CLIP_ES_LABEL_STUDIO_TOKEN
  return {
    ...(remoteHost && { remoteHosts: remoteHost }),
    ...(privateHost && { privateHosts: privateHost }),
    ...(url !== undefined && { labelStudio: { url, ...(token && { token }) } }),
  }
}

async function batchesOf(given: ServeArguments): Promise<ServeOptions> {
  const { batchQueue: url, batchName: name, batchRoot, callbackHost, privateCallbackHost } = given
  const needs = batchRoot !== undefined ? '--batch-root' : callbackHost || privateCallbackHost ? '--callback-host' : undefined
  if (url === undefined && needs) throw new UsageError(`serve: ${needs} needs --batch-queue`)
  if (url === undefined) return {}
  const { startBatches } = await import('./batches/backend.js')
  return {
    batches: startBatches({ url, name, root: resolve(batchRoot ?? '.'), maxSide: given.maxSide }),
    ...(callbackHost && { callbackHosts: callbackHost }),
    ...(privateCallbackHost && { privateCallbackHosts: privateCallbackHost }),
  }
}

async function optionsOf(given: ServeArguments): Promise<ServeOptions> {
  const { host, port, page, apiKeys, open, cors, trustProxy, log } = given
  const load = loadOptions(given)
  const tls = tlsOf(given)
  return {
    ...{ host, port, page, load, classFiles: classFiles(given.classFile), limits: limitsOf(given) },
    ...(apiKeys !== undefined && { keyFile: apiKeys }),
    ...(tls && { tls }),
    ...{ open, cors, trustProxy, log },
    ...remoteOf(given),
    ...(await batchesOf(given)),
  }
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there; choose another port with --port, or end that program',
  EACCES: 'it is not allowed; choose a port from 1024 on with --port',
  EADDRNOTAVAIL: 'this machine does not have this address; choose one of its own with --host, or 0.0.0.0 for all',
  ENOTFOUND: 'there is no such host; choose an address of this machine with --host',
}

/** What listening throws, with what to do. */
function explain(error: unknown, { host, port }: ServeArguments): unknown {
  const { code = '' } = error as NodeJS.ErrnoException
  const reason = reasons[code]
  return reason ? Object.assign(new Error(`cannot listen on ${host}, port ${port}: ${reason}`), { code }) : error
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })

/** Serves until a signal comes. */
export async function runServer(given: ServeArguments): Promise<void> {
  const { serve } = await import('clip-es-server')
  const options = await asUsage(() => optionsOf(given))
  const signal = stopSignal()
  const server = await asUsage(() => serve(options)).catch((error: unknown) => {
    throw explain(error, given)
  })
  say(`listening on ${server.url}`)
  if (given.open) complain('clip-es: everyone who can reach this address can use the server')
  await aborted(signal)
  await server.close(given.closeSeconds * 1000)
}
