import { extname } from 'node:path'
import { ownPicture } from 'clip-es/support'
import { isOtherPicture, isPhotoName } from './names.js'

/** What else lies among photos. */
export interface LeftOut {
  /** Pictures of ours: masks, overlays and confidences of earlier runs. */
  own: string[]
  /** Pictures of formats that are not read. */
  unread: string[]
}

/** Whether a file is a photo, by its extension. What is left out is added to `leftOut`. */
export function isPhotoAmong(file: string, leftOut: LeftOut): boolean {
  if (isOtherPicture(file)) leftOut.unread.push(file)
  if (!isPhotoName(file)) return false
  if (ownPicture(file) === undefined) return true
  leftOut.own.push(file)
  return false
}

/** The photos among files. */
export const photosAmong = (files: readonly string[], leftOut: LeftOut): string[] =>
  files.filter((file) => isPhotoAmong(file, leftOut))

const few = 3

function someOf(files: readonly string[]): string {
  return files.slice(0, few).join(', ') + (files.length > few ? `, … (${files.length} in all)` : '')
}

/** A sentence for each kind of file that was left out. */
export function leftOutNotes(leftOut: LeftOut): string[] {
  const [own, unread] = [leftOut.own, leftOut.unread].map((files) => [...new Set(files)]) as [string[], string[]]
  const kinds = [...new Set(unread.map((file) => extname(file).toLowerCase()))].sort().join(', ')
  return [
    ...(own.length ? [`left out, because clip-es wrote them and they are not photos: ${someOf(own)}`] : []),
    ...(unread.length
      ? [`left out, because ${kinds} files are not read; convert them to JPEG or PNG first: ${someOf(unread)}`]
      : []),
  ]
}
