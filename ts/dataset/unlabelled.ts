import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { invalid } from '../errors.js'
import { stemOf } from '../photos/names.js'
import { cocoPhotos } from './coco.js'
import type { Dataset } from './dataset.js'
import { listPhotos } from './folder.js'
import { vocRoot, vocSplit } from './voc.js'

// Data sets whose photos have no labels, or whose labels are not to be read.

/** The photos of a VOC split. Throws ERR_INVALID_ARG when the folder or the split are not there. */
export function listVoc(dir: string, split: string): Dataset {
  const root = vocRoot(dir)
  const photos = new Set(readdirSync(join(root, 'JPEGImages')))
  const dataset: Dataset = { items: [], failures: [], notes: [] }
  for (const id of vocSplit(root, split)) {
    const photo = join(root, 'JPEGImages', `${id}.jpg`)
    if (photos.has(`${id}.jpg`)) dataset.items.push({ id, photo })
    else dataset.failures.push({ id, message: `there is no photo ${photo}` })
  }
  return dataset
}

/** The photos that a COCO annotations file lists. Throws ERR_INVALID_ARG as `readCocoDataset` does. */
export function listCoco(dir: string, annotations: string): Dataset {
  const { items, failures } = cocoPhotos(dir, annotations)
  return { items: items.map(({ id, photo }) => ({ id, photo })), failures, notes: [] }
}

/** The photos below a folder. Throws ERR_INVALID_ARG when it cannot be read, or has none. */
export function listFolder(dir: string): Dataset {
  const paths = listPhotos(dir)
  if (!paths.length) throw invalid(`--folder: there is no photo in ${dir}`)
  const dataset: Dataset = { items: [], failures: [], notes: [] }
  const taken = new Map<string, string>() // results by the photo they belong to
  for (const path of paths) {
    const id = stemOf(path)
    const other = taken.get(id)
    if (other === undefined) {
      taken.set(id, path)
      dataset.items.push({ id, photo: join(dir, path) })
    } else
      dataset.failures.push({
        id: path,
        message: `its results would have the same names as those of ${other}; rename one of the photos`,
      })
  }
  return dataset
}
