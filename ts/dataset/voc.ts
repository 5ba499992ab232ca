import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, extname, join } from 'node:path'
import { invalid } from '../errors.js'
import { nearest } from '../nearest.js'
import { counted, type Dataset, messageOf } from './dataset.js'
import type { LabelIndex } from './label_index.js'
import { readLabels } from './labels.js'

/** The folder that holds JPEGImages: the one given, or one that a download unpacks to inside it. */
export function vocRoot(dir: string): string {
  const places = [dir, join(dir, 'VOC2012'), join(dir, 'VOCdevkit', 'VOC2012')]
  const root = places.find((place) => existsSync(join(place, 'JPEGImages')))
  if (root === undefined) throw invalid(`--voc: ${dir} has no JPEGImages; give the folder that VOC2012 was unpacked to`)
  return root
}

/** The IDs of a list: the first word of each line, without folders and extension, as some lists have them. */
export function readIds(file: string): string[] {
  const lines = readFileSync(file, 'utf8').split(/\r\n|\r|\n/)
  const ids = lines.map((line) => line.trim().split(/\s+/)[0] as string).filter((word) => word !== '')
  return [...new Set(ids.map((word) => basename(word, extname(word))))]
}

/** The IDs of a split: ImageSets/Segmentation first, since other folders list photos without masks under the same names. */
export function vocSplit(root: string, split: string): string[] {
  const sets = join(root, 'ImageSets')
  if (!existsSync(sets)) throw invalid(`--voc: ${root} has no ImageSets, in which splits are listed`)
  const kinds = readdirSync(sets, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const folders = ['Segmentation', ...kinds.map(({ name }) => name).filter((name) => name !== 'Segmentation')]
  for (const folder of folders) {
    const file = join(sets, folder, `${split}.txt`)
    if (existsSync(file)) return readIds(file)
  }
  const known = kinds.flatMap(({ name }) => readdirSync(join(sets, name))).filter((name) => name.endsWith('.txt'))
  const names = [...new Set(known.map((name) => basename(name, '.txt')))].filter((name) => !name.includes('_'))
  const near = nearest(split, names)
  throw invalid(
    `--split: there is no ${split}.txt in ${sets}; ${near ? `did you mean '${near}'? ` : ''}known: ${names.join(', ')}`,
  )
}

/** The names of an annotation's objects. Its objects' parts (head, hand) have names too, and are none. */
export async function vocObjects(xml: string): Promise<string[]> {
  const { DOMParser } = await import('linkedom')
  const document = new DOMParser().parseFromString(xml, 'text/xml')
  if (document.documentElement?.localName !== 'annotation' || !/<\/annotation>\s*$/.test(xml))
    throw invalid('it is no VOC annotation, or a damaged one: <annotation> … </annotation> is expected')
  const objects = [...document.documentElement.children].filter(({ localName }) => localName === 'object')
  return objects.map((object) => {
    const name = [...object.children].find(({ localName }) => localName === 'name')?.textContent.trim()
    if (!name) throw invalid('one of its objects has no name')
    return name
  })
}

/**
 * PASCAL VOC: the photos of a split with the labels of their XML annotations, difficult objects included, or those of a labels file.
 * @throws ERR_INVALID_ARG when the folder, the split or the labels file are not there
 */
export async function readVoc(dir: string, split: string, index: LabelIndex, labelsFile?: string): Promise<Dataset> {
  const root = vocRoot(dir)
  const ids = vocSplit(root, split)
  const words = labelsFile === undefined ? fromXml(root) : fromFile(labelsFile)
  const photos = new Set(readdirSync(join(root, 'JPEGImages')))
  const dataset: Dataset = { items: [], failures: [], notes: [] }
  let unlabelled = 0
  for (const id of ids) {
    try {
      if (!photos.has(`${id}.jpg`)) throw invalid(`there is no photo ${join(root, 'JPEGImages', `${id}.jpg`)}`)
      const labels = index.resolve(await words(id))
      if (labels.length) dataset.items.push({ id, photo: join(root, 'JPEGImages', `${id}.jpg`), labels })
      else unlabelled++
    } catch (error) {
      dataset.failures.push({ id, message: messageOf(error) })
    }
  }
  if (unlabelled) dataset.notes.push(`${counted(unlabelled, 'photo')} without labels left out`)
  return dataset
}

type Words = (id: string) => string[] | Promise<string[]>

function fromXml(root: string): Words {
  const folder = join(root, 'Annotations')
  if (!existsSync(folder))
    throw invalid(
      `--voc: ${root} has no Annotations, whose XML files say what is in a photo; name a file that does with --labels`,
    )
  return async (id) => {
    const file = join(folder, `${id}.xml`)
    if (!existsSync(file)) throw invalid(`there is no annotation ${file}`)
    try {
      return await vocObjects(readFileSync(file, 'utf8'))
    } catch (error) {
      throw invalid(`${file}: ${messageOf(error)}`)
    }
  }
}

function fromFile(file: string): Words {
  const labels = new Map([...readLabels(file)].map(([photo, words]) => [basename(photo).replace(/\.jpe?g$/i, ''), words]))
  return (id) => {
    const words = labels.get(id)
    if (words === undefined) throw invalid(`it has no line in ${file}`)
    return words
  }
}
