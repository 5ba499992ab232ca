import { basename, normalize, resolve, sep } from 'node:path'
import { ownPicture } from 'clip-es/support'
import { glob, isDynamicPattern } from 'tinyglobby'
import { existingPath } from '../files/existing.js'
import { recordName } from '../files/run_folder.js'
import { kindOf, walk } from '../files/walk.js'
import { extensionsRead, isWithin, realFolder } from './names.js'
import { type LeftOut, photosAmong } from './sort_out.js'

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
  leftOut: LeftOut
}

/** Paths of photos, or why there are none. */
type Listed = { paths: string[]; notFound: NotFound[] }

const nothing = (path: string, reason: string): Listed => ({ paths: [], notFound: [{ path, reason }] })

function listFolder(folder: string, results: string, leftOut: LeftOut): Listed {
  const { files, unreadable } = walk(folder, results)
  const paths = photosAmong(files, leftOut)
  if (paths.length || unreadable.length) return { paths, notFound: unreadable }
  return nothing(folder, `there is no photo in it (${extensionsRead})`)
}

/** The part of a pattern that comes before the first folder or file that it leaves open. */
function fixedPart(pattern: string): string {
  const parts = pattern.split('/')
  const open = parts.findIndex((part) => isDynamicPattern(part))
  return parts.slice(0, open).join('/') || (pattern.startsWith('/') ? '/' : '.')
}

/** What a shell would make of it, without what is not a photo by its name: folders are walked, earlier results left out. */
async function listPattern(pattern: string, results: string, leftOut: LeftOut): Promise<Listed> {
  const found = await glob(pattern, { dot: false, expandDirectories: false, onlyFiles: pattern.includes('**') })
  const inResults = isWithin(realFolder(fixedPart(pattern)), results) // asked for by name
  const listed: Listed = { paths: [], notFound: [] }
  for (const path of found.map(normalize)) {
    if (!inResults && isWithin(realFolder(path), results)) continue
    if (kindOf(path)?.isDirectory()) {
      const { files, unreadable } = walk(path, results)
      listed.paths.push(...photosAmong(files, leftOut))
      listed.notFound.push(...unreadable)
    } else listed.paths.push(...photosAmong([path], leftOut))
  }
  return listed.paths.length ? listed : nothing(pattern, `no photo matches this pattern (${extensionsRead})`)
}

/** A file that an argument names is a photo whatever it is called, but not one of ours: a shell's `*` names these, too. */
function listFile(path: string, leftOut: LeftOut): Listed {
  if (ownPicture(path) === undefined && basename(path) !== recordName) return { paths: [path], notFound: [] }
  leftOut.own.push(path)
  return { paths: [], notFound: [] }
}

function missing(arg: string): string {
  if (arg === '-') return 'photos are not read from standard input; name a file'
  if (/^https?:\/\//i.test(arg)) return 'it is a web address, and photos are not downloaded; name a file'
  return 'there is no such file or folder'
}

async function list(arg: string, results: string, leftOut: LeftOut): Promise<Listed & { folder: boolean }> {
  try {
    const path = existingPath(arg) ?? arg
    const kind = kindOf(path)
    if (kind?.isDirectory()) return { ...listFolder(path, results, leftOut), folder: true }
    if (kind) return { ...listFile(path, leftOut), folder: false }
    const pattern = arg.replaceAll(sep, '/') // on Windows, a backslash is no escape
    if (isDynamicPattern(pattern)) return { ...(await listPattern(pattern, results, leftOut)), folder: false }
    return { ...nothing(arg, missing(arg)), folder: false }
  } catch (error) {
    return { ...nothing(arg, (error as Error).message), folder: false }
  }
}

/**
 * The photos that arguments name: files, folders (walked; photos are known by their extensions, hidden ones left out) and globs that
 * no shell expanded. Each once; the arguments in their order, what one of them stands for in the order of its names.
 * @param out the folder for results; what lies there from earlier is not a photo, unless an argument names it
 */
export async function findPhotos(args: readonly string[], out: string): Promise<Found> {
  const results = realFolder(out)
  const photos = new Map<string, PhotoFile>()
  const found: Found = { photos: [], notFound: [], walked: [], leftOut: { own: [], unread: [] } }
  for (const arg of args) {
    const { paths, notFound, folder } = await list(arg, results, found.leftOut)
    found.notFound = found.notFound.concat(notFound)
    if (folder) found.walked.push(arg)
    for (const path of paths.sort()) {
      const file = resolve(path)
      if (!photos.has(file)) photos.set(file, { path, file })
    }
  }
  found.photos = [...photos.values()]
  if (!found.photos.length && !found.notFound.length)
    for (const path of found.leftOut.own) found.notFound.push({ path, reason: 'clip-es wrote it, so it is not a photo' })
  return found
}
