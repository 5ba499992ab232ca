import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Parts of the journal that workers of a queue write are called `queue-WORKER`. */
export const workerPart = (worker: string): string => `queue-${worker}`

/** Removes the locks and the unfinished files that killed workers have left in a folder of results. */
export function removeLeftovers(out: string, isAlive: (worker: string) => boolean): void {
  const folders = [
    [join(out, 'journal'), /^queue-(.+)\.lock$/],
    [out, /^\.partial-queue-(.+)$/],
  ] as const
  for (const [folder, pattern] of folders) {
    if (!existsSync(folder)) continue
    for (const name of readdirSync(folder)) {
      const worker = pattern.exec(name)?.[1]
      if (worker !== undefined && !isAlive(worker)) rmSync(join(folder, name), { recursive: true, force: true })
    }
  }
}
