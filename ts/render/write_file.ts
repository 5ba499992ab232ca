import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/**
 * Writes a whole file or none: under another name first, then renamed. Synchronous, so that an interrupt, which is handled between
 * two turns of the event loop, leaves neither half a file nor the temporary one.
 */
export function writeWhole(file: string, data: string | Uint8Array): void {
  const temporary = join(dirname(file), `.${basename(file)}.${process.pid}.tmp`)
  try {
    writeFileSync(temporary, data)
    renameSync(temporary, file)
  } catch (error) {
    try {
      rmSync(temporary, { force: true })
    } catch {
      // what kept it from being written keeps it from being removed: the first error says more
    }
    throw error
  }
}
