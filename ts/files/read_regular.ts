import { readFileSync, type Stats, statSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { invalid } from '../core/errors.js'

/** What a path is, as an error message names it. */
export function kindName(stats: Stats): string {
  if (stats.isDirectory()) return 'a folder'
  if (stats.isFIFO()) return 'a named pipe'
  if (stats.isSocket()) return 'a socket'
  if (stats.isCharacterDevice() || stats.isBlockDevice()) return 'a device'
  return 'a regular file'
}

/** Opening a named pipe can wait for ever, and no signal ends a thread that waits so. */
function checkRegular(stats: Stats): void {
  if (!stats.isFile()) throw invalid(`it is ${kindName(stats)}; only regular files are read`)
}

/**
 * The bytes of a regular file or of a link to one.
 * @throws ERR_INVALID_ARG for anything else, or the error of the file system. The message does not name the file.
 */
export function readRegularSync(file: string): Buffer {
  checkRegular(statSync(file))
  return readFileSync(file)
}

/** The same without blocking. An abort rejects with an AbortError. */
export async function readRegular(file: string, signal?: AbortSignal): Promise<Buffer> {
  checkRegular(await stat(file))
  return await readFile(file, { signal })
}
