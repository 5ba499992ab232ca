import { basename, extname } from 'node:path'
import type { ClassFile } from 'clip-es'
import { classFileNamed } from '../shared/class_sets.js'
import { say } from '../shared/say.js'
import { stopSignal } from '../shared/stop.js'
import { asUsage } from '../shared/usage.js'
import type { ServeArguments } from './options.js'

function classFiles(files: readonly string[] = []): Record<string, ClassFile> {
  return Object.fromEntries(files.map((file) => [basename(file, extname(file)), classFileNamed(file)]))
}

/** Serves until a signal comes. */
export async function runServer({ host, port, classFile, ...load }: ServeArguments): Promise<void> {
  const { serve } = await import('clip-es-server')
  const files = await asUsage(() => classFiles(classFile))
  const signal = stopSignal()
  const server = await serve({ host, port, load, classFiles: files })
  say(`listening on ${server.url}`)
  if (!signal.aborted) await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  await server.close()
}
