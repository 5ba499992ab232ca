import { mkdirSync } from 'node:fs'
import { ClipEsError } from '../errors.js'
import { cacheFolder } from './paths.js'

/** What LibTorch takes in the cache while it is fetched: the wheel and its unpacked libraries. */
export const roomNeeded = '700 MB'

/** fetch says 'fetch failed' and hides why in a chain of causes. */
function innermost(error: unknown): unknown {
  let inner = error
  while (inner instanceof Error && inner.cause) inner = inner.cause
  return inner
}

/** The words of the error that began it; connections that fail to several addresses have an error for each and no words. */
export function innermostMessage(error: unknown): string {
  const inner = innermost(error)
  if (inner instanceof AggregateError && !inner.message) return inner.errors.map(innermostMessage).join('; ')
  return inner instanceof Error ? inner.message : String(inner)
}

const unwritable = 'set CLIP_ES_CACHE to a folder that you may write, and run npx clip-es setup again'

/** What to do about an error of the file system or the network in set-up's cache. */
export function remedyFor(error: unknown): string {
  const code = (innermost(error) as NodeJS.ErrnoException | undefined)?.code
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return `make ${roomNeeded} of room there or set CLIP_ES_CACHE to a folder that has it, and run npx clip-es setup again to go on`
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return unwritable
    default:
      return (
        'look at the connection or the proxy and run npx clip-es setup again to go on, ' +
        `${process.env.CLIP_ES_LIBTORCH_URL ? 'correct CLIP_ES_LIBTORCH_URL' : 'set CLIP_ES_LIBTORCH_URL to a mirror'}, ` +
        'or point CLIP_ES_LIBTORCH to a LibTorch'
      )
  }
}

/** Makes the cache where it is missing. Throws ERR_LIBTORCH. */
export function ensureCacheFolder(): string {
  const folder = cacheFolder()
  try {
    mkdirSync(folder, { recursive: true })
    return folder
  } catch (cause) {
    // Node reports a read-only disk as ENOENT here, so that the code decides nothing.
    throw new ClipEsError('ERR_LIBTORCH', `the cache ${folder} cannot be made (${innermostMessage(cause)}): ${unwritable}`, {
      cause,
    })
  }
}
