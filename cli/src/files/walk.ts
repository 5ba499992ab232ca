import { readdirSync, realpathSync, type Stats, statSync } from 'node:fs'
import { join } from 'node:path'
import { isRunFolder } from './run_folder.js'

/** A file or folder that could not be looked at, and why. */
export interface Unreadable {
  path: string
  reason: string
}

export interface Walked {
  /** Paths of regular files and of links to nothing (reading these reports them), sorted. They begin with the folder's path. */
  files: string[]
  unreadable: Unreadable[]
}

/** Undefined where there is nothing. Throws when it cannot be known. */
export function kindOf(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}

/**
 * Lists the files in a folder and below it. Links to folders are followed, except to a folder that is being walked already. Hidden names and
 * the folders with results of a run are left out, but not the folder asked for.
 * @param skip absolute real path of a folder to leave out
 * @throws the error of the file system for the folder asked for
 */
export function walk(folder: string, skip?: string): Walked {
  const walked: Walked = { files: [], unreadable: [] }
  walkInto(folder, skip, walked, [])
  walked.files.sort()
  return walked
}

/** @param above real paths of the folders on the way down */
function walkInto(folder: string, skip: string | undefined, walked: Walked, above: readonly string[]): void {
  const real = realpathSync(folder)
  if (above.includes(real) || (above.length && (real === skip || isRunFolder(real)))) return
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue
    const path = join(folder, entry.name)
    try {
      const kind = entry.isSymbolicLink() ? kindOf(path) : entry
      if (kind?.isDirectory()) walkInto(path, skip, walked, [...above, real])
      else if (kind?.isFile() ?? true) walked.files.push(path)
    } catch (error) {
      walked.unreadable.push({ path, reason: (error as Error).message }) // it may not be listed
    }
  }
}
