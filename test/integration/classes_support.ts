// What the tests of classes share: a segmenter, a photo and background words.
import type { ClassSpec, EncodeClassesOptions, Segmenter } from '../../ts/index.js'
import { load, type Scene, scene } from './support.js'

export let segmenter: Segmenter
export let photo: Scene

export async function prepare(): Promise<void> {
  segmenter = await load()
  photo = await scene('scene01')
}

export const background = ['sky', 'grass', 'wall']
export const encode = (classes: readonly ClassSpec[], options: EncodeClassesOptions = {}) =>
  segmenter.encodeClasses(classes, { background, ...options })
