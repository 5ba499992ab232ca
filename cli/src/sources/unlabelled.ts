import { join } from 'node:path'
import { invalid } from 'clip-es/support'
import { plainName } from '../files/existing.js'
import { stemOf } from '../photos/names.js'
import { cocoPhotos } from './coco.js'
import type { Dataset } from './dataset.js'
import { photosOfFolder, sameNames } from './folder.js'
import { vocPhotos } from './voc.js'

// Data sets whose photos have no labels, or whose labels are not to be read.

/** The photos of a VOC split. Throws ERR_INVALID_ARG when the folder or the split are not there. */
export function listVoc(dir: string, split: string): Dataset {
  const { items, failures } = vocPhotos(dir, split)
  return { items, failures, notes: [] }
}

/** The photos that a COCO annotations file lists. Throws ERR_INVALID_ARG as `readCocoDataset` does. */
export function listCoco(dir: string, annotations: string): Dataset {
  const { items, failures } = cocoPhotos(dir, annotations)
  return { items: items.map(({ id, photo }) => ({ id, photo })), failures, notes: [] }
}

/** The photos below a folder. Throws ERR_INVALID_ARG when it cannot be read, or has none. */
export function listFolder(dir: string, out?: string): Dataset {
  const { root, paths, failures, notes } = photosOfFolder(dir, out)
  if (!paths.length) throw invalid(`--folder: there is no photo in ${dir}`)
  const dataset: Dataset = { items: [], failures, notes }
  const taken = new Map<string, string>() // photos by the names of their results
  for (const path of paths) {
    const id = stemOf(path)
    const other = taken.get(plainName(id))
    if (other === undefined) {
      taken.set(plainName(id), path)
      dataset.items.push({ id, photo: join(root, path) })
    } else dataset.failures.push({ id: path, message: sameNames(other) })
  }
  return dataset
}
