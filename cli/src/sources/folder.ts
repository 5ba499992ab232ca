import { join, posix, relative, sep } from 'node:path'
import { invalid, nearest } from 'clip-es/support'
import { existingPath, plainName } from '../files/existing.js'
import { type Unreadable, walkFiles } from '../files/walk.js'
import { realFolder, stemOf } from '../photos/names.js'
import { PhotoIndex } from '../photos/photo_index.js'
import { isPhotoAmong, type LeftOut, leftOutNotes } from '../photos/sort_out.js'
import { counted, messageOf } from '../shared/wording.js'
import type { Dataset, Failure } from './dataset.js'
import type { LabelIndex } from './label_index.js'
import { readLabels } from './labels.js'

/** The photos below a folder. Results of earlier runs are not among them. */
export class FolderPhotos implements Iterable<string> {
  /** The folder as the file system spells it. */
  readonly root: string
  readonly #leftOut: LeftOut = { own: [], unread: [] }
  readonly #unreadable: Unreadable[] = []

  /**
   * @param out the folder for results
   * @throws ERR_INVALID_ARG where there is no such folder
   */
  constructor(
    readonly dir: string,
    readonly out?: string,
  ) {
    const root = existingPath(dir)
    if (root === undefined) throw invalid(`--folder: there is no folder ${dir}; name the folder of the photos`)
    this.root = root
  }

  #fromDir(path: string): string {
    return relative(this.root, path).replaceAll(sep, '/')
  }

  /** '/'-separated, from the folder, sorted. To be asked for once. Throws ERR_INVALID_ARG when the folder cannot be read. */
  *[Symbol.iterator](): Generator<string> {
    const { root, dir, out } = this
    const skip = out === undefined ? undefined : realFolder(out)
    try {
      for (const file of walkFiles(root, this.#unreadable, skip)) if (isPhotoAmong(file, this.#leftOut)) yield this.#fromDir(file)
    } catch (error) {
      throw invalid(`--folder: ${dir} cannot be read (${messageOf(error)})`)
    }
  }

  /** Folders that may not be listed, as far as the photos were asked for. */
  get failures(): Failure[] {
    return this.#unreadable.map(({ path, reason }) => ({ id: this.#fromDir(path), message: reason }))
  }

  /** What was left out. */
  get notes(): string[] {
    return leftOutNotes(this.#leftOut)
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
  const found = new FolderPhotos(dir, out)
  const { root } = found
  const photos = new PhotoIndex([...found])
  const dataset: Dataset = { items: [], failures: found.failures, notes: found.notes }
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
