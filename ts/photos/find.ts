import { readdirSync, realpathSync, type Stats, statSync } from 'node:fs'
import { join, normalize, resolve } from 'node:path'
import { glob, isDynamicPattern } from 'tinyglobby'
import { extensionsRead, isPhotoName, isWithin, realFolder } from './names.js'

/** A photo to work on. */
export interface PhotoFile {
  /** As the user would write it. */
  path: string
  /** Absolute. */
  file: string
}

/** An argument or a folder that gave no photo, and why. */
export interface NotFound {
  path: string
  reason: string
}

export interface Found {
  photos: PhotoFile[]
  notFound: NotFound[]
  /** The folders among the arguments. */
  walked: string[]
}

/** Paths of photos, or why there are none. */
type Listed = { paths: string[]; notFound: NotFound[] }

const nothing = (path: string, reason: string): Listed => ({ paths: [], notFound: [{ path, reason }] })

/** Undefined where there is nothing. Throws when it cannot be known. */
function kindOf(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}

/**
 * Adds the photos in a folder and below it.
 * @param results never a source of photos
 * @param above real paths of the folders on the way down: a link to one of them would never end
 */
function walk(folder: string, results: string, listed: Listed, above: readonly string[] = []): void {
  const real = realpathSync(folder)
  if (above.includes(real) || (above.length && real === results)) return
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue
    const path = join(folder, entry.name)
    try {
      const kind = entry.isSymbolicLink() ? kindOf(path) : entry
      if (kind?.isDirectory()) walk(path, results, listed, [...above, real])
      else if (isPhotoName(entry.name) && (kind?.isFile() ?? true)) listed.paths.push(path) // a link to nothing: reading it will tell
    } catch (error) {
      listed.notFound.push({ path, reason: (error as Error).message }) // it may not be listed
    }
  }
}

function listFolder(folder: string, results: string): Listed {
  const listed: Listed = { paths: [], notFound: [] }
  walk(folder, results, listed)
  if (listed.paths.length || listed.notFound.length) return listed
  return nothing(folder, `there is no photo in it (${extensionsRead})`)
}

/** The part of a pattern that comes before the first folder or file that it leaves open. */
function fixedPart(pattern: string): string {
  const parts = pattern.split('/')
  const open = parts.findIndex((part) => isDynamicPattern(part))
  return parts.slice(0, open).join('/') || (pattern.startsWith('/') ? '/' : '.')
}

/** What a shell would make of it, less what is no photo by its name: folders are walked, earlier results left out. */
async function listPattern(pattern: string, results: string): Promise<Listed> {
  const found = await glob(pattern, { dot: false, expandDirectories: false, onlyFiles: pattern.includes('**') })
  const inResults = isWithin(realFolder(fixedPart(pattern)), results) // asked for by name
  const listed: Listed = { paths: [], notFound: [] }
  for (const path of found.map(normalize)) {
    if (!inResults && isWithin(realFolder(path), results)) continue
    if (kindOf(path)?.isDirectory()) walk(path, results, listed)
    else if (isPhotoName(path)) listed.paths.push(path)
  }
  return listed.paths.length ? listed : nothing(pattern, `no photo has a name like that (${extensionsRead})`)
}

async function list(arg: string, results: string): Promise<Listed & { folder: boolean }> {
  try {
    const kind = kindOf(arg)
    if (kind?.isDirectory()) return { ...listFolder(arg, results), folder: true }
    if (kind) return { paths: [arg], notFound: [], folder: false }
    if (isDynamicPattern(arg)) return { ...(await listPattern(arg, results)), folder: false }
    return { ...nothing(arg, 'there is no such file or folder'), folder: false }
  } catch (error) {
    return { ...nothing(arg, (error as Error).message), folder: false }
  }
}

/**
 * The photos that arguments name: files, folders (walked; photos are known by their extensions, hidden ones left out) and globs that
 * no shell expanded. Each once; the arguments in their order, what one of them stands for in the order of its names.
 * @param out the folder for results; what lies there from earlier is no photo, unless an argument names it
 */
export async function findPhotos(args: readonly string[], out: string): Promise<Found> {
  const results = realFolder(out)
  const photos = new Map<string, PhotoFile>()
  const found: Found = { photos: [], notFound: [], walked: [] }
  for (const arg of args) {
    const { paths, notFound, folder } = await list(arg, results)
    found.notFound = found.notFound.concat(notFound)
    if (folder) found.walked.push(arg)
    for (const path of paths.sort()) {
      const file = resolve(path)
      if (!photos.has(file)) photos.set(file, { path, file })
    }
  }
  found.photos = [...photos.values()]
  return found
}
