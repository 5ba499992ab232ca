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
  const unreadable: Unreadable[] = []
  const files = [...walkFiles(folder, unreadable, skip)].sort()
  return { files, unreadable }
}

/** The same one by one, in the order of their paths with '/' between folders. No more than a folder is in memory. */
export function* walkFiles(
  folder: string,
  unreadable: Unreadable[],
  skip?: string,
  above: readonly string[] = [],
): Generator<string> {
  const real = realpathSync(folder)
  if (above.includes(real) || (above.length && (real === skip || isRunFolder(real)))) return
  for (const { path, kind } of entriesOf(folder, unreadable)) {
    if (kind === 'file') yield path
    else
      try {
        yield* walkFiles(path, unreadable, skip, [...above, real])
      } catch (error) {
        unreadable.push({ path, reason: (error as Error).message }) // it may not be listed
      }
  }
}

interface Entry {
  path: string
  kind: 'file' | 'folder'
}

function entriesOf(folder: string, unreadable: Unreadable[]): Entry[] {
  const entries: (Entry & { key: string })[] = []
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue
    const path = join(folder, entry.name)
    try {
      const kind = entry.isSymbolicLink() ? kindOf(path) : entry
      if (kind?.isDirectory()) entries.push({ path, kind: 'folder', key: `${entry.name}/` })
      else if (kind?.isFile() ?? true) entries.push({ path, kind: 'file', key: entry.name })
    } catch (error) {
      unreadable.push({ path, reason: (error as Error).message })
    }
  }
  return entries.sort((a, b) => (a.key < b.key ? -1 : 1))
}
