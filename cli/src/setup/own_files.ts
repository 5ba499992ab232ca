import { readdirSync, rmSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { cacheFolder } from 'clip-es/support'

// The name of an unfinished folder in the cache contains the machine and the process, so that set-ups that run at the same time do not
// write the same folder.
const nameFor = (name: string, pid: number): string => `${name}.${hostname()}.${pid}.tmp`

/** The folder in which this process writes `name` until it is finished. */
export const unfinishedPath = (name: string): string => join(cacheFolder(), nameFor(name, process.pid))

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Deletes the unfinished folders of processes of this machine that have ended. */
export function removeLeftovers(): void {
  for (const file of readdirSync(cacheFolder())) {
    const pid = Number(file.match(/\.(\d+)\.tmp$/)?.[1])
    if (pid && file.endsWith(nameFor('', pid)) && !isRunning(pid))
      rmSync(join(cacheFolder(), file), { recursive: true, force: true })
  }
}
