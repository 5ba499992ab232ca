// What the tests of class sets' files share: a class set, its file, and its results.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClassSet, ClassSpec, Segmenter } from '../../ts/index.js'
import { photo, prepare, segmenter } from './classes_support.js'
import { crop, temporaryFolder } from './support.js'

export const folder = temporaryFolder()
export const file = join(folder, 'classes.safetensors')
export let classes: ClassSet
export let bytes: Buffer

export const specs: ClassSpec[] = ['television', { name: 'elephant', synonyms: ['elephant', 'mammoth'] }, 'panda']
export const encode = (by: Segmenter) => by.encodeClasses(specs, { fusion: 'cam', background: ['sky', 'panda', 'wall'] })

export async function prepareFile(): Promise<void> {
  await prepare()
  classes = await encode(segmenter)
  await classes.save(file)
  bytes = readFileSync(file)
}

export async function results(of: ClassSet, by = segmenter) {
  const { labels, scores, mask, confidence, cams } = await by.segment(crop(photo, 96, 64), of, {
    include: ['confidence', 'cams'],
  })
  return { labels, scores, mask, confidence, cams }
}
