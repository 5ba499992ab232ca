import { join, posix, relative, sep } from 'node:path'
import { invalid, nearest } from 'clip-es/support'
import { existingPath, plainName } from '../files/existing.js'
import { walk } from '../files/walk.js'
import { realFolder, stemOf } from '../photos/names.js'
import { PhotoIndex } from '../photos/photo_index.js'
import { type LeftOut, leftOutNotes, photosAmong } from '../photos/sort_out.js'
import { counted, messageOf } from '../shared/wording.js'
import type { Dataset, Failure } from './dataset.js'
import type { LabelIndex } from './label_index.js'
import { readLabels } from './labels.js'

/** What a walk over a folder of photos found. */
export interface FolderPhotos {
  /** The folder as the file system spells it. */
  root: string
  /** '/'-separated, from the folder, sorted. */
  paths: string[]
  /** Folders that may not be listed. */
  failures: Failure[]
  /** What was left out. */
  notes: string[]
}

/**
 * The photos below a folder. Results of earlier runs are not among them.
 * @param out the folder for results
 * @throws ERR_INVALID_ARG when the folder cannot be read
 */
export function photosOfFolder(dir: string, out?: string): FolderPhotos {
  const root = existingPath(dir)
  if (root === undefined) throw invalid(`--folder: there is no folder ${dir}; name the folder of the photos`)
  try {
    const { files, unreadable } = walk(root, out === undefined ? undefined : realFolder(out))
    const fromDir = (path: string) => relative(root, path).replaceAll(sep, '/')
    const leftOut: LeftOut = { own: [], unread: [] }
    return {
      root,
      paths: photosAmong(files, leftOut).map(fromDir).sort(),
      failures: unreadable.map(({ path, reason }) => ({ id: fromDir(path), message: reason })),
      notes: leftOutNotes(leftOut),
    }
  } catch (error) {
    throw invalid(`--folder: ${dir} cannot be read (${messageOf(error)})`)
  }
}

/** Says why a photo has no results. */
export const sameNames = (other: string): string =>
  `its results would have the same names as those of ${other}; rename one of the photos`

const most = 1000 // photos to look through for a similar name: a labels file may be wrong in every line

/** The photo that a labels file names. Throws ERR_INVALID_ARG. */
function findPhoto(photos: PhotoIndex, name: string): string {
  const path = posix.normalize(name.replaceAll('\\', '/'))
  const found = photos.matches(path)
  if (found.length === 1) return found[0] as string
  if (found.length) throw invalid(`the folder has ${found.join(' and ')}: write the name with its extension`)
  const near = photos.paths.length > most ? undefined : nearest(path, photos.paths)
  throw invalid(`there is no such photo in the folder${near === undefined ? '' : `; did you mean ${near}?`}`)
}

/**
 * A folder of photos, with folders inside, and a file that says what is in each.
 * @throws ERR_INVALID_ARG when the folder or the file cannot be read
 */
export function readFolder(dir: string, labelsFile: string, index: LabelIndex, out?: string): Dataset {
  const { root, paths, failures, notes } = photosOfFolder(dir, out)
  const photos = new PhotoIndex(paths)
  const dataset: Dataset = { items: [], failures, notes }
  const taken = new Map<string, string>() // photos by the names of their results
  const named = new Set<string>()
  let unlabelled = 0
  for (const [name, words] of readLabels(labelsFile)) {
    try {
      const path = findPhoto(photos, name)
      if (named.has(path)) throw invalid(`${path} is in ${labelsFile} under two names; keep one`)
      named.add(path)
      const labels = index.resolve(words)
      const other = taken.get(plainName(stemOf(path)))
      if (other !== undefined) throw invalid(sameNames(other))
      if (labels.length) {
        taken.set(plainName(stemOf(path)), path)
        dataset.items.push({ id: stemOf(path), photo: join(root, path), labels })
      } else unlabelled++
    } catch (error) {
      dataset.failures.push({ id: name, message: messageOf(error) })
    }
  }
  unlabelled += photos.paths.filter((path) => !named.has(path)).length
  if (unlabelled) dataset.notes.push(`${counted(unlabelled, 'photo')} without labels left out`)
  dataset.items.sort((a, b) => (a.id < b.id ? -1 : 1))
  return dataset
}
