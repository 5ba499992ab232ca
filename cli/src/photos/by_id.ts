import { readdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { invalid, ownPicture } from 'clip-es/support'
import { existingPath } from '../files/existing.js'
import { isPhotoName } from './names.js'
import { PhotoIndex } from './photo_index.js'

/** The photos of one folder. Undefined if there is no such folder. */
interface Listed {
  folder: string
  photos: PhotoIndex
}

function list(path: string): Listed | undefined {
  const folder = existingPath(path)
  if (folder === undefined) return undefined
  const names = readdirSync(folder).filter(isPhotoName)
  return { folder, photos: new PhotoIndex(names.filter((name) => ownPicture(join(folder, name)) === undefined)) }
}

/**
 * Finds the photos that results were made from, by their ids. Lists each folder once.
 * @param root the folder that the ids are relative to
 * @returns a function from an id to the photo's path below root: ID.jpg and the like, or the id itself. It throws ERR_INVALID_ARG if there is
 * no such photo, or more than one
 */
export function photosById(root: string): (id: string) => string {
  const folders = new Map<string, Listed | undefined>()
  return (id) => {
    const parent = dirname(join(root, id))
    if (!folders.has(parent)) folders.set(parent, list(parent))
    const listed = folders.get(parent)
    const found = listed?.photos.matches(basename(id)) ?? []
    if (listed && found.length === 1) return join(listed.folder, found[0] as string)
    if (listed && found.length)
      throw invalid(`${found.join(' and ')} in ${listed.folder} have the name ${basename(id)}; keep one of them`)
    throw invalid(`there is no photo named ${basename(id)} in ${parent}; name the photos' folder with --photos`)
  }
}
