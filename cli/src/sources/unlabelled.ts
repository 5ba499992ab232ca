import { join, relative, sep } from 'node:path'
import { invalid } from 'clip-es/support'
import { plainName } from '../files/existing.js'
import { hashOf, PlaceTable } from '../files/place_table.js'
import { stemOf } from '../photos/names.js'
import { cocoPhotos } from './coco.js'
import type { Dataset, Failure, PackedDataset } from './dataset.js'
import { FolderPhotos, sameNames } from './folder.js'
import { PhotoList } from './photo_list.js'
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

/** The photos below a folder, one by one. Throws ERR_INVALID_ARG when it cannot be read, or has none. */
export function listFolder(dir: string, out?: string): PackedDataset {
  const photos = new FolderPhotos(dir, out)
  const items = new PhotoList()
  const taken = new PlaceTable() // the items by the names of their results
  const failures: Failure[] = []
  for (const path of photos) {
    const id = stemOf(path)
    const name = plainName(id)
    const slot = taken.find(hashOf(name), (place) => plainName(items.at(place).id) === name)
    const other = taken.at(slot)
    if (other)
      failures.push({ id: path, message: sameNames(relative(photos.root, items.at(other.place).photo).replaceAll(sep, '/')) })
    else taken.set(slot, hashOf(name), items.add({ id, photo: join(photos.root, path) }), 0)
  }
  if (!items.length) throw invalid(`--folder: there is no photo in ${dir}`)
  return { items, failures: [...photos.failures, ...failures], notes: photos.notes }
}
