import { lstatSync, mkdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { checkNameLength, invalid, writeWhole } from 'clip-es/support'
import { writeParts } from '../files/write_parts.js'
import { stemOf } from '../photos/names.js'
import { commandVersion } from '../shared/version.js'
import { cocoFile, imageNumbers } from './coco.js'
import { labelStudioConfig, labelStudioTasks } from './label_studio.js'
import { labelmeFile } from './labelme.js'
import type { Format } from './options.js'
import type { ExportClass, ExportPhoto } from './photo.js'
import { encodeGrey, encodeRgb } from './png.js'
import type { ResultPhoto } from './source.js'
import { yoloDataYaml, yoloLabels } from './yolo.js'

/** How to write. */
export interface WriteOptions {
  out: string
  /** Exact pixels (COCO's run-length code, Label Studio's brush, labelme's masks), or outlines. */
  shape: 'rle' | 'polygons'
  /** Each connected region is an object, not each class of a photo. */
  regions: boolean
  /** For YOLO: links to the photos, in the folder images. */
  linkPhotos: boolean
  /** For Label Studio: what goes before a photo's path. */
  urlPrefix: string
}

/** What there is to write: the photos in order, and the same with their masks. */
export interface Written {
  listed: readonly ResultPhoto[]
  read: () => AsyncIterable<ExportPhoto & Pick<ResultPhoto, 'photo'>>
  classes: readonly ExportClass[]
}

/** Writes one format. Returns the file to look at, or the folder where there are many. */
type Writer = (source: Written, options: WriteOptions) => Promise<string>

/**
 * The files of each format, in the folder for results. ID is the name of the mask without extension, with the folders in it.
 *
 * - coco: instances.json
 * - yolo: data.yaml, labels/NAME.txt for images/NAME.EXT
 * - labelme: ID.json
 * - label-studio: tasks.json and labeling.xml, the project's labelling interface
 * - grey, rgb: ID.png
 */
export const writers: Readonly<Record<Format, Writer>> = {
  coco: async ({ listed, read, classes }, { out, shape, regions }) => {
    const numbers = imageNumbers(listed.map(({ id }) => id))
    async function* numbered() {
      let i = 0
      for await (const photo of read()) yield { ...photo, imageId: numbers[i++] as number }
    }
    const file = join(out, 'instances.json')
    await writeParts(file, cocoFile(numbered(), classes, { shape, regions }))
    return file
  },
  yolo: async ({ listed, read, classes }, { out, linkPhotos }) => {
    checkStems(listed)
    for await (const photo of read()) {
      writeFor(join(out, 'labels', `${stemOf(photo.fileName)}.txt`), yoloLabels(photo, classes))
      if (linkPhotos) linkPhoto(photo.photo as string, join(out, 'images', photo.fileName))
    }
    const file = join(out, 'data.yaml')
    writeWhole(file, yoloDataYaml(classes)) // the last one: where it is, the labels are
    return file
  },
  labelme: async ({ read, classes }, { out, shape, regions }) => {
    for await (const photo of read()) {
      const file = join(out, `${photo.id}.json`)
      mkdirSync(dirname(file), { recursive: true })
      const image = relative(realpathSync(dirname(file)), resolve(photo.photo as string)).replaceAll(sep, '/')
      const text = await labelmeFile(photo, classes, image, { shape: shape === 'rle' ? 'masks' : 'polygons', regions })
      writeFor(file, text)
    }
    return out
  },
  'label-studio': async ({ read, classes }, { out, shape, regions, urlPrefix }) => {
    const tool = shape === 'rle' ? 'brush' : 'polygon'
    const options = { tool, regions, urlPrefix, modelVersion: `clip-es ${commandVersion()}` } as const
    const file = join(out, 'tasks.json')
    await writeParts(file, labelStudioTasks(read(), classes, options))
    writeWhole(join(out, 'labeling.xml'), labelStudioConfig(classes, tool))
    return file
  },
  grey: async (source, { out }) => await writePictures(source, out, encodeGrey),
  rgb: async (source, { out }) => await writePictures(source, out, encodeRgb),
}

async function writePictures({ read, classes }: Written, out: string, encode: typeof encodeGrey): Promise<string> {
  for await (const photo of read()) writeFor(join(out, `${photo.id}.png`), await encode(photo, classes))
  return out
}

/** Writes a file about a photo, and the folders on the way to it. */
function writeFor(file: string, data: string | Uint8Array): void {
  checkNameLength(file)
  mkdirSync(dirname(file), { recursive: true })
  writeWhole(file, data)
}

/** YOLO looks for a photo's labels by its name without extension. */
function checkStems(photos: readonly ResultPhoto[]): void {
  const names = new Map<string, string>()
  for (const { fileName } of photos) {
    const stem = stemOf(fileName)
    const other = names.get(stem)
    if (other !== undefined)
      throw invalid(`YOLO would take the labels of ${other} and ${fileName} from one file, ${stem}.txt; rename one of the photos`)
    names.set(stem, fileName)
  }
}

/** Makes a symbolic link to a photo. Replaces a link of an earlier export, but nothing else. */
function linkPhoto(photo: string, link: string): void {
  const stats = lstatSync(link, { throwIfNoEntry: false })
  if (stats && !stats.isSymbolicLink()) return
  mkdirSync(dirname(link), { recursive: true })
  rmSync(link, { force: true })
  symlinkSync(resolve(photo), link)
}
