import { existsSync, readdirSync } from 'node:fs'
import { join, parse } from 'node:path'

/**
 * A name for comparisons. macOS writes é as e and an accent (NFD), most keyboards as one character (NFC): both are one name to a reader.
 */
export const plainName = (name: string): string => name.normalize('NFC')

/**
 * The path as the file system spells it: itself where it exists, else one whose names differ only in their Unicode form. Undefined where there
 * is none.
 */
export function existingPath(path: string): string | undefined {
  if (existsSync(path)) return path
  const { dir, base, root } = parse(path)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII has one form only
  if (/^[\x00-\x7f]*$/.test(path) || path === root || base === '..') return undefined
  const folder = dir === '' ? '.' : existingPath(dir)
  if (folder === undefined) return undefined
  const found = namesIn(folder).find((name) => plainName(name) === plainName(base))
  return found === undefined ? undefined : dir === '' ? found : join(folder, found)
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return [] // it may be entered but not listed
  }
}
