import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { readClassFile } from '../class_file.js'
import { embeddedModel } from '../model_path.js'
import { classSets } from '../text/prompts.js'
import type { ClassFile } from '../types.js'

export const classFileHelp = "a class file, or one of the package's own: voc, coco, emoji"

/** What --class-file names. Throws ERR_INVALID_ARG. */
export function classFileNamed(name: string): ClassFile {
  if (existsSync(name)) return readClassFile(name)
  if (name === 'voc' || name === 'coco') return classSets[name]
  return readClassFile(name === 'emoji' ? join(dirname(embeddedModel()), 'emoji-classes.json') : name)
}
