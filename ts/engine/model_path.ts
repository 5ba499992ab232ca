import { join, resolve } from 'node:path'
import { packageFolder } from '../files/package_folder.js'
import { isFirstInProcess } from './native.js'

/** The archive that ships with the package: it knows emoji scenes and not photographs. */
export const embeddedModel = (): string => outsideAsar(join(packageFolder(), 'models', 'emoji-clip.pt'))

/** Where electron-builder puts a file that is not packed. Electron's fs finds it by its path in the archive, too, but native code does not. */
export const outsideAsar = (path: string): string => path.replace(/([\\/][^\\/]+\.asar)(?=[\\/])/, '$1.unpacked')

let warned = false

/** The code of the warning that the embedded model is in use, for listeners of the process's 'warning' event. */
const demoModelWarning = 'CLIP_ES_DEMO_MODEL'

/** The path given, else $CLIP_ES_MODEL, else the embedded model, with one warning in a process. */
export function resolveModelPath(path: string | undefined): string {
  const chosen = path ?? (process.env.CLIP_ES_MODEL || undefined)
  if (chosen) return resolve(chosen)
  if (!warned && isFirstInProcess())
    process.emitWarning(
      'clip-es: using the embedded demo model, which knows emoji scenes and not photographs; for photos pass the path of a CLIP archive',
      { code: demoModelWarning },
    )
  warned = true
  return embeddedModel()
}
