import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type ClassFile, classSets } from 'clip-es'
import { readClassFile } from 'clip-es/photos'
import { embeddedModel } from 'clip-es/support'

export const classFileHelp = 'a class file, or one of the package: voc, coco, emoji'

/** What --class-file names. Throws ERR_INVALID_ARG. */
export function classFileNamed(name: string): ClassFile {
  if (existsSync(name)) return readClassFile(name)
  if (name === 'voc' || name === 'coco') return classSets[name]
  return readClassFile(name === 'emoji' ? join(dirname(embeddedModel()), 'emoji-classes.json') : name)
}
