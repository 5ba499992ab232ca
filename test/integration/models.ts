// Model archives that a test writes, and what a model answers, so that models can be compared.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Segmenter } from '../../ts/index.js'
import { Archive } from './archive.js'
import { crop, scene, temporaryFolder } from './support.js'

/** Is removed when the process ends. */
export const folder = temporaryFolder()

/** Writes a file in the temporary folder. */
export function write(name: string, content: string | Buffer): string {
  const file = join(folder, name)
  writeFileSync(file, content)
  return file
}

/** Writes a copy of the embedded model that `change` changed. */
export function writeModel(name: string, change: (archive: Archive) => void): string {
  const archive = new Archive()
  change(archive)
  return write(name, archive.bytes())
}

/** The result of a model for a corner of a scene. Closes the segmenter. */
export async function answers(segmenter: Segmenter) {
  const photo = await scene('scene01')
  const classes = await segmenter.encodeClasses(photo.labels.slice(0, 2), { background: photo.background })
  const { mask, scores, cams } = await segmenter.segment(crop(photo, 64, 48), classes, { include: ['cams'] })
  await segmenter.close()
  return { mask, scores, cams: cams as Float32Array }
}
