import { mkdirSync } from 'node:fs'
import { ClipEsError } from 'clip-es'
import { cacheFolder } from 'clip-es/support'

/** The last error in a chain of causes. */
function innermost(error: unknown): unknown {
  let inner = error
  while (inner instanceof Error && inner.cause) inner = inner.cause
  return inner
}

/** The message of the error that caused the others. An AggregateError without a message has one error for each attempt. */
export function innermostMessage(error: unknown): string {
  const inner = innermost(error)
  if (inner instanceof AggregateError && !inner.message) return inner.errors.map(innermostMessage).join('; ')
  return inner instanceof Error ? inner.message : String(inner)
}

const unwritable = 'set CLIP_ES_CACHE to a folder that you may write, and run npx clip-es setup --cuda again'

/** Creates the cache folder if needed. Throws ERR_LIBTORCH. */
export function ensureCacheFolder(): string {
  const folder = cacheFolder()
  try {
    mkdirSync(folder, { recursive: true })
    return folder
  } catch (cause) {
    // Node reports a read-only disk as ENOENT here, so the code does not choose the remedy.
    throw new ClipEsError('ERR_LIBTORCH', `the cache ${folder} cannot be created (${innermostMessage(cause)}): ${unwritable}`, {
      cause,
    })
  }
}
