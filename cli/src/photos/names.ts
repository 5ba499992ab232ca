import { realpathSync } from 'node:fs'
import { basename, dirname, extname, join, resolve, sep } from 'node:path'
import { photoExtensions } from 'clip-es/photos'

/** For messages. */
export const extensionsRead = photoExtensions.join(', ')

// Pictures that people keep among their photos and that are not read.
const otherPictures: ReadonlySet<string> = new Set([
  ...['.heic', '.heif', '.hif', '.jfif', '.jpe', '.gif', '.bmp', '.jxl', '.jp2', '.psd', '.svg', '.ppm', '.pgm', '.tga', '.exr'],
  ...['.dng', '.cr2', '.cr3', '.nef', '.arw', '.orf', '.raf', '.rw2', '.pef', '.srw'],
])

/** Whether a file in a folder is taken for a photo, by its extension. */
export const isPhotoName = (name: string): boolean => photoExtensions.includes(extname(name).toLowerCase())

/** Whether a file is a picture by its extension, of a format that is not read. */
export const isOtherPicture = (name: string): boolean => otherPictures.has(extname(name).toLowerCase())

/** A photo's name without its extension; other names stay whole. */
export const stemOf = (name: string): string => (isPhotoName(name) ? name.slice(0, -extname(name).length) : name)

/** Whether a path is a folder or lies in it; both absolute. */
export const isWithin = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep)

/** A folder's absolute path without links, as far as it exists. */
export function realFolder(folder: string): string {
  const path = resolve(folder)
  try {
    return realpathSync(path)
  } catch {
    return dirname(path) === path ? path : join(realFolder(dirname(path)), basename(path))
  }
}
