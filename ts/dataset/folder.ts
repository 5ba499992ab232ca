import { readdirSync } from 'node:fs'
import { join, posix } from 'node:path'
import { invalid } from '../errors.js'
import { nearest } from '../nearest.js'
import { isPhotoName, stemOf } from '../photos/names.js'
import { counted, type Dataset, messageOf } from './dataset.js'
import type { LabelIndex } from './label_index.js'
import { readLabels } from './labels.js'

/**
 * '/'-separated paths of the photos below a folder, sorted; hidden files and folders are none.
 * @throws ERR_INVALID_ARG when it cannot be read
 */
export function listPhotos(dir: string): string[] {
  try {
    return photosBelow(dir, '')
  } catch (error) {
    throw invalid(`--folder: ${dir} cannot be read (${messageOf(error)})`)
  }
}

function photosBelow(dir: string, below: string): string[] {
  const entries = readdirSync(join(dir, below), { withFileTypes: true }).filter(({ name }) => !name.startsWith('.'))
  return entries
    .flatMap((entry) => {
      const path = posix.join(below, entry.name)
      if (entry.isDirectory()) return photosBelow(dir, path)
      return isPhotoName(entry.name) ? [path] : []
    })
    .sort()
}

const most = 1000 // photos to look through for a similar name: a labels file may be wrong in every line

/** Finds photos by their paths in the folder, with or without extension. */
class PhotoIndex {
  readonly #paths: ReadonlySet<string>
  readonly #byStem = new Map<string, string[]>()

  constructor(readonly paths: readonly string[]) {
    this.#paths = new Set(paths)
    for (const path of paths) this.#byStem.set(stemOf(path), [...(this.#byStem.get(stemOf(path)) ?? []), path])
  }

  find(name: string): string {
    const path = posix.normalize(name.replaceAll('\\', '/'))
    const found = this.#paths.has(path) ? [path] : (this.#byStem.get(path) ?? [])
    if (found.length === 1) return found[0] as string
    if (found.length) throw invalid(`the folder has ${found.join(' and ')}: name the one with its extension`)
    const near = this.paths.length > most ? undefined : nearest(path, this.paths)
    throw invalid(`there is no such photo in the folder${near === undefined ? '' : `; did you mean ${near}?`}`)
  }
}

/**
 * A folder of photos, with folders inside, and a file that says what is in each.
 * @throws ERR_INVALID_ARG when the folder or the file cannot be read
 */
export function readFolder(dir: string, labelsFile: string, index: LabelIndex): Dataset {
  const photos = new PhotoIndex(listPhotos(dir))
  const dataset: Dataset = { items: [], failures: [], notes: [] }
  const taken = new Map<string, string>() // results by the photo they belong to
  const named = new Set<string>()
  let unlabelled = 0
  for (const [name, words] of readLabels(labelsFile)) {
    try {
      const path = photos.find(name)
      if (named.has(path)) throw invalid(`${path} is in ${labelsFile} under two names; keep one`)
      named.add(path)
      const labels = index.resolve(words)
      const other = taken.get(stemOf(path))
      if (other !== undefined)
        throw invalid(`its results would have the same names as those of ${other}; rename one of the photos`)
      if (labels.length) {
        taken.set(stemOf(path), path)
        dataset.items.push({ id: stemOf(path), photo: join(dir, path), labels })
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
