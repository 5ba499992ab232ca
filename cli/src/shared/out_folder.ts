import { accessSync, constants, existsSync, mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { invalid, writeWhole } from 'clip-es/support'

/** Makes the folder that --out names, before any work is done for it. Throws ERR_INVALID_ARG when it cannot be written. */
export function makeOutFolder(command: string, out: string): void {
  try {
    makeFolder(resolve(out))
    accessSync(out, constants.W_OK)
  } catch (error) {
    throw invalid(
      `${command}: cannot write to the folder ${resolve(out)} (${(error as Error).message}); choose another one with --out`,
    )
  }
}

/** Creates a folder and the missing ones above it. Node's own recursion never ends in /proc, where folders exist but cannot be created. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return
  makeFolder(dirname(folder))
  try {
    mkdirSync(folder)
  } catch (error) {
    if (!existsSync(folder)) throw error // else another process was faster
  }
}

/** Writes a file that an option names, whole or not at all. Throws ERR_INVALID_ARG, naming it and the option, when it cannot be written. */
export function writeOutput(command: string, option: string, file: string, data: string | Uint8Array): void {
  try {
    writeWhole(file, data)
  } catch (error) {
    throw invalid(`${command}: cannot write ${resolve(file)} (${(error as Error).message}); choose another place with ${option}`)
  }
}
