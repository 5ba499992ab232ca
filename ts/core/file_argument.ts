import { fileURLToPath } from 'node:url'
import { checkText, show, wrong } from './check.js'
import { invalid } from './errors.js'

const scheme = /^([a-z][a-z0-9+.-]+):\/\//i

/**
 * The path of a file that the caller names by a path or by a file URL.
 * @throws ERR_INVALID_ARG for anything else
 */
export function checkFile(call: string, name: string, value: unknown): string {
  const path = value instanceof URL ? pathOfUrl(call, name, value) : checkPath(call, name, value)
  if (path.includes('\0')) throw wrong(call, name, value, 'a path without a zero byte, which would end the path early')
  return path
}

function checkPath(call: string, name: string, value: unknown): string {
  if (typeof value !== 'string') throw wrong(call, name, value, 'a path or a file URL')
  const [, found] = scheme.exec(value) ?? []
  if (found?.toLowerCase() === 'file')
    throw invalid(`${call}: ${name} is the text ${show(value)}; texts are paths: write new URL('file://…')`)
  if (found !== undefined) throw notAFile(call, name, value, found)
  return checkText(call, name, value)
}

function pathOfUrl(call: string, name: string, url: URL): string {
  if (url.protocol !== 'file:') throw notAFile(call, name, url.href, url.protocol.slice(0, -1))
  try {
    return fileURLToPath(url)
  } catch (cause) {
    const message = `${call}: ${name} is ${show(url.href)}, which names no local file (${(cause as Error).message}); write file:///path`
    throw invalid(message, { cause })
  }
}

const notAFile = (call: string, name: string, url: string, found: string) =>
  invalid(`${call}: ${name} is ${show(url)}, a URL with the scheme '${found}'; download the file and pass its path or file URL`)
