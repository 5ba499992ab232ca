import { join, resolve } from 'node:path'
import { modelOutsideAsar, outsideAsar } from '../files/asar.js'
import { packageFolder } from '../files/package_folder.js'
import { isFirstInProcess } from './native.js'

const shippedModel = (): string => join(packageFolder(), 'models', 'emoji-clip.pt')

/** The archive that ships with the package: it knows emoji scenes and not photographs. */
export const embeddedModel = (): string => outsideAsar(shippedModel())

let warned = false

/** The code of the warning that the embedded model is in use, for listeners of the process's 'warning' event. */
const demoModelWarning = 'CLIP_ES_DEMO_MODEL'

/**
 * The path given, else $CLIP_ES_MODEL, else the embedded model, with one warning in a process.
 * @throws ERR_MODEL_READ for a model that is packed in an asar archive
 */
export function resolveModelPath(path: string | undefined): string {
  const chosen = path ?? (process.env.CLIP_ES_MODEL || undefined)
  if (chosen) return modelOutsideAsar(resolve(chosen))
  if (!warned && isFirstInProcess())
    process.emitWarning(
      'clip-es: using the embedded demo model, which knows emoji scenes and not photographs; for photos pass the path of a CLIP archive',
      { code: demoModelWarning },
    )
  warned = true
  return modelOutsideAsar(shippedModel())
}
