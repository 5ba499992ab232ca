import { constants } from 'node:buffer'
import { statSync } from 'node:fs'
import { basename, isAbsolute, join } from 'node:path'
import { invalid } from 'clip-es/support'
import { existingPath, plainName } from '../files/existing.js'
import { readText } from '../files/read_text.js'
import { stemOf } from '../photos/names.js'
import { counted, messageOf } from '../shared/wording.js'
import type { Dataset, Failure } from './dataset.js'
import type { LabelIndex } from './label_index.js'

/** What is read of an instances_….json. */
export interface CocoFile {
  images: { id: number; file_name: string; width?: unknown; height?: unknown }[]
  annotations: {
    id?: unknown
    image_id: number
    category_id: number
    area?: unknown
    iscrowd?: unknown
    segmentation?: unknown
  }[]
  categories: { id: number; name: string }[]
}

/** What every entry of a list must have. Pictures' sizes and objects' shapes are asked for where they are needed. */
const needed = {
  images: { id: 'number', file_name: 'string' },
  annotations: { image_id: 'number', category_id: 'number' },
  categories: { id: 'number', name: 'string' },
} as const

/** Throws ERR_INVALID_ARG for any other file. */
export function readCoco(file: string): CocoFile {
  const value = parseFile(file) as Record<string, Record<string, unknown>[] | undefined> | null
  for (const [key, fields] of Object.entries(needed)) {
    const list = value?.[key]
    if (!Array.isArray(list)) throw invalid(`${file} has no list '${key}'; COCO's instances_….json is expected`)
    for (const [name, type] of Object.entries(fields)) {
      // Indexed, since a list may have a million entries.
      for (let i = 0; i < list.length; i++)
        if (typeof list[i]?.[name] !== type)
          throw invalid(`${file}: ${key}[${i}] has no ${type} '${name}'; COCO's instances_….json is expected`)
    }
  }
  const coco = value as unknown as CocoFile
  // Tools on Windows separate folders by backslashes.
  for (const image of coco.images) image.file_name = image.file_name.replaceAll('\\', '/')
  return coco
}

function parseFile(file: string): unknown {
  try {
    const { size } = statSync(file)
    if (size > constants.MAX_STRING_LENGTH)
      throw invalid(`it has ${size} bytes; up to ${constants.MAX_STRING_LENGTH} can be read: split it into several`)
    return JSON.parse(readText(file))
  } catch (error) {
    throw invalid(`${file} cannot be read (${messageOf(error)})`)
  }
}

/** The folder of the photos: the one given, or one inside it that is named as COCO does. */
function photoFolder(dir: string, annotations: string, images: CocoFile['images']): string {
  const split = /(train|val|test)\d{4}/.exec(basename(annotations))?.[0]
  const places = [dir, join(dir, 'images'), ...(split ? [join(dir, split), join(dir, 'images', split)] : [])]
  const folder = places.find((place) => images.some(({ file_name }) => existingPath(join(place, file_name)) !== undefined))
  if (folder === undefined)
    throw invalid(
      `--coco: none of the photos of ${annotations} is in ${places.join(', ')}${images[0] ? `; its first file_name is '${images[0].file_name}'` : '; it lists no images'}`,
    )
  return folder
}

/** The photos of an annotations file, each with its number in there. */
export function cocoPhotos(
  dir: string,
  annotations: string,
): { file: CocoFile; items: { id: string; photo: string; number: number }[]; failures: Failure[] } {
  const file = readCoco(annotations)
  const folder = photoFolder(dir, annotations, file.images)
  const taken = new Set<string>()
  const items: { id: string; photo: string; number: number }[] = []
  const failures: Failure[] = []
  for (const { id: number, file_name } of file.images) {
    const id = stemOf(file_name)
    const photo = existingPath(join(folder, file_name))
    if (isAbsolute(id) || id.split('/').includes('..')) failures.push({ id, message: 'its file_name points outside the folder' })
    else if (taken.has(plainName(id)))
      failures.push({ id: file_name, message: 'another image of the annotations has the same name without the extension' })
    else if (photo === undefined) failures.push({ id, message: `there is no photo ${join(folder, file_name)}` })
    else {
      taken.add(plainName(id))
      items.push({ id, photo, number })
    }
  }
  return { file, items, failures }
}

/**
 * COCO: the photos of an annotations file with the categories of their objects, crowds included.
 * @throws ERR_INVALID_ARG when the file cannot be read or none of its photos is there
 */
export function readCocoDataset(dir: string, annotations: string, index: LabelIndex): Dataset {
  const { file, items, failures } = cocoPhotos(dir, annotations)
  const names = new Map(file.categories.map(({ id, name }) => [id, name]))
  const words = new Map<number, Set<string>>(file.images.map(({ id }) => [id, new Set()]))
  const strays = new Map<number, number>()
  for (const { image_id, category_id } of file.annotations) {
    const of = words.get(image_id)
    if (of) of.add(names.get(category_id) ?? `category ${category_id}`)
    else strays.set(image_id, (strays.get(image_id) ?? 0) + 1)
  }
  const dataset: Dataset = { items: [], failures: [], notes: [] }
  for (const [id, count] of strays)
    dataset.failures.push({
      id: `image ${id}`,
      message: `${counted(count, 'annotation')} of it, but it is not among the images of ${annotations}`,
    })
  dataset.failures.push(...failures)
  let unlabelled = 0
  for (const { id, photo, number } of items) {
    try {
      const labels = index.resolve(words.get(number) as Set<string>)
      if (labels.length) dataset.items.push({ id, photo, labels })
      else unlabelled++
    } catch (error) {
      dataset.failures.push({ id, message: messageOf(error) })
    }
  }
  if (unlabelled) dataset.notes.push(`${counted(unlabelled, 'photo')} without objects left out`)
  return dataset
}
