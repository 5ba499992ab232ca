import { existsSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { invalid, nearest, readRegularSync } from 'clip-es/support'
import { existingPath, plainName } from '../files/existing.js'
import { isPhotoName, stemOf } from '../photos/names.js'
import { PhotoIndex } from '../photos/photo_index.js'
import { counted, messageOf } from '../shared/wording.js'
import type { Dataset, DatasetItem, Failure } from './dataset.js'
import { readIdList } from './id_list.js'
import type { LabelIndex } from './label_index.js'
import { readLabels } from './labels.js'
import { vocObjects } from './voc_xml.js'

/** The folder that holds JPEGImages: the one given, or one that a download unpacks to inside it. */
export function vocRoot(dir: string): string {
  const places = [dir, join(dir, 'VOC2012'), join(dir, 'VOCdevkit', 'VOC2012')]
  const root = places.find((place) => existsSync(join(place, 'JPEGImages')))
  if (root === undefined) throw invalid(`--voc: ${dir} has no JPEGImages; give the folder that VOC2012 was unpacked to`)
  return root
}

/** The IDs of a split: ImageSets/Segmentation first, since other folders list photos without masks under the same names. */
export function vocSplit(root: string, split: string): string[] {
  const photos = photosOf(root)
  const isPhoto = (stem: string) => photos.hasStem(stem)
  const sets = join(root, 'ImageSets')
  if (!existsSync(sets))
    throw invalid(
      `--voc: ${root} has no folder ImageSets, which contains the splits; name the folder that VOC2012 was unpacked to`,
    )
  const kinds = readdirSync(sets, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const folders = ['Segmentation', ...kinds.map(({ name }) => name).filter((name) => name !== 'Segmentation')]
  for (const folder of folders) {
    const file = join(sets, folder, `${split}.txt`)
    if (existsSync(file)) return readIdList(file, isPhoto)
  }
  const known = kinds.flatMap(({ name }) => readdirSync(join(sets, name))).filter((name) => name.endsWith('.txt'))
  const names = [...new Set(known.map((name) => basename(name, '.txt')))].filter((name) => !name.includes('_'))
  const near = nearest(split, names)
  throw invalid(
    `--split: there is no ${split}.txt in ${sets}; ${near ? `did you mean '${near}'? ` : ''}known: ${names.join(', ')}`,
  )
}

/** The photos of JPEGImages. Some sets have .png or .JPG files there. */
function photosOf(root: string): PhotoIndex {
  return new PhotoIndex(readdirSync(join(root, 'JPEGImages')).filter(isPhotoName))
}

/** The photos of a split. Throws ERR_INVALID_ARG when the folder or the split are not there. */
export function vocPhotos(dir: string, split: string): { root: string; items: DatasetItem[]; failures: Failure[] } {
  const root = vocRoot(dir)
  const photos = photosOf(root)
  const items: DatasetItem[] = []
  const failures: Failure[] = []
  for (const id of vocSplit(root, split)) {
    const found = photos.matches(id)
    if (found.length === 1) items.push({ id, photo: join(root, 'JPEGImages', found[0] as string) })
    else if (found.length) failures.push({ id, message: `its name fits ${found.join(' and ')}; keep one of these photos` })
    else failures.push({ id, message: `there is no photo ${join(root, 'JPEGImages', `${id}.jpg`)}` })
  }
  return { root, items, failures }
}

/**
 * PASCAL VOC: the photos of a split with the labels of their XML annotations, difficult objects included, or those of a labels file.
 * @throws ERR_INVALID_ARG when the folder, the split or the labels file are not there
 */
export function readVoc(dir: string, split: string, index: LabelIndex, labelsFile?: string): Dataset {
  const { root, items, failures } = vocPhotos(dir, split)
  const dataset: Dataset = { items: [], failures, notes: [] }
  const labelsOf = labelsFile === undefined ? fromXml(root, dataset.notes) : fromFile(labelsFile)
  let unlabelled = 0
  for (const { id, photo } of items) {
    try {
      const labels = index.resolve(labelsOf(id))
      if (labels.length) dataset.items.push({ id, photo, labels })
      else unlabelled++
    } catch (error) {
      failures.push({ id, message: messageOf(error) })
    }
  }
  if (unlabelled) dataset.notes.push(`${counted(unlabelled, 'photo')} without labels left out`)
  return dataset
}

type Words = (id: string) => string[]

function fromXml(root: string, notes: string[]): Words {
  const folder = join(root, 'Annotations')
  if (!existsSync(folder))
    throw invalid(
      `--voc: ${root} has no folder Annotations, whose XML files say what is in each photo; name a labels file with --labels`,
    )
  return (id) => {
    const file = existingPath(join(folder, `${id}.xml`))
    if (file === undefined) throw invalid(`there is no annotation ${join(folder, `${id}.xml`)}`)
    try {
      const { names, nameless } = vocObjects(readRegularSync(file))
      if (nameless && !names.length) throw invalid('none of its objects has a name')
      if (nameless) notes.push(`${id}: objects without a name left out: ${nameless} of ${names.length + nameless}`)
      return names
    } catch (error) {
      throw invalid(`${file}: ${messageOf(error)}`)
    }
  }
}

function fromFile(file: string): Words {
  const labels = new Map([...readLabels(file)].map(([photo, words]) => [plainName(stemOf(basename(photo))), words]))
  return (id) => {
    const words = labels.get(plainName(id))
    if (words === undefined) throw invalid(`it has no line in ${file}`)
    return words
  }
}
