import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readRegularSync } from 'clip-es/support'

const fileOf = (out: string): string => join(out, 'journal', 'folder-id')

/** What tells a folder of results from every other one, whatever its path is on a machine. Undefined where there is none yet. */
export function readFolderId(out: string): string | undefined {
  if (!existsSync(fileOf(out))) return undefined
  return readRegularSync(fileOf(out)).toString('utf8').trim() || undefined
}

/** The folder's id; made if it has none. */
export function folderId(out: string): string {
  mkdirSync(join(out, 'journal'), { recursive: true })
  try {
    writeFileSync(fileOf(out), `${randomUUID()}\n`, { flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error // else it has one
  }
  const id = readFolderId(out)
  if (id === undefined) throw new Error(`${fileOf(out)} is empty; delete it and run the same command again`)
  return id
}
