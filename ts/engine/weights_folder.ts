import { mkdirSync } from 'node:fs'

/** The code of the warning, for listeners of the process's 'warning' event. */
const weightsWarning = 'CLIP_ES_WEIGHTS'

/** A folder that cannot be made is no failure of the load: the native code then says why it cannot write its file. */
export function makeWeightsFolder(folder: string): void {
  if (folder === '') return
  try {
    mkdirSync(folder, { recursive: true })
  } catch {}
}

/** @param failure why the file could not be read or written, or '' */
export function warnOfWeightsFile(failure: string): void {
  if (failure === '') return
  process.emitWarning(
    `clip-es: the model was loaded from its archive, because the weights file ${failure}. Name another folder as weightsFolder, or leave it out`,
    { code: weightsWarning },
  )
}
