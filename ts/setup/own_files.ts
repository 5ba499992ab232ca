import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { cacheFolder } from './paths.js'

// Unfinished files in the cache carry the machine and process that write them, so that two set-ups at once never share one.
type Kind = 'part' | 'tmp'

const nameFor = (name: string, pid: number, kind: Kind): string => `${name}.${hostname()}.${pid}.${kind}`

/** Where this process writes `name` until it is finished. */
export const ownPath = (name: string, kind: Kind): string => join(cacheFolder(), nameFor(name, process.pid, kind))

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Files of this machine whose process is gone. */
function leftovers(kind: Kind): { file: string; name: string }[] {
  return readdirSync(cacheFolder()).flatMap((file) => {
    const pid = Number(file.match(/\.(\d+)\.\w+$/)?.[1])
    const end = nameFor('', pid, kind)
    return pid && file.endsWith(end) && !isRunning(pid) ? [{ file, name: file.slice(0, -end.length) }] : []
  })
}

/** Makes what an ended process left of `name` this process's own; false if there is nothing. */
export function claimLeftover(name: string, kind: Kind): boolean {
  const own = ownPath(name, kind)
  if (existsSync(own)) return true // an earlier attempt of this process
  return leftovers(kind).some((left) => {
    if (left.name !== name) return false
    try {
      renameSync(join(cacheFolder(), left.file), own)
      return true
    } catch {
      return false // another process was quicker
    }
  })
}

/** Deletes what ended processes left and nobody can use. */
export function removeLeftovers(kind: Kind): void {
  for (const { file } of leftovers(kind)) rmSync(join(cacheFolder(), file), { recursive: true, force: true })
}
