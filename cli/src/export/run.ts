import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { inOrder } from 'clip-es/support'
import sharp from 'sharp'
import { isWithin, realFolder } from '../photos/names.js'
import { Progress } from '../pipeline/progress.js'
import { makeOutFolder } from '../shared/out_folder.js'
import { complain, oneLine, say } from '../shared/say.js'
import { stopSignal } from '../shared/stop.js'
import { asUsage, UsageError } from '../shared/usage.js'
import { counted } from '../shared/wording.js'
import { type WriteOptions, writers } from './formats.js'
import type { ExportArguments, Format } from './options.js'
import { openResults, type ResultPhoto, type Results, readExported } from './source.js'

const window = 4 // masks that are decoded at a time

/** Which shapes a format can have, the default first. */
const shapes: Readonly<Record<Format, readonly WriteOptions['shape'][]>> = {
  coco: ['rle', 'polygons'],
  yolo: ['polygons'],
  labelme: ['polygons', 'rle'],
  'label-studio': ['rle', 'polygons'],
  grey: [],
  rgb: [],
}

/** Where Label Studio serves files from its own disk. */
const localFiles = '/data/local-files/?d='

/** Runs `clip-es export`. */
export async function exportResults(folder: string, given: ExportArguments): Promise<void> {
  const options = checkOptions(given)
  const signal = stopSignal()
  const results = await asUsage(() => openResults(folder, given))
  checkFolders(folder, results, given)
  checkPhotos(results.photos, given)
  for (const warning of results.warnings) complain(`clip-es: ${warning}`)
  makeOutFolder('export', options.out)
  sharp.concurrency(1)
  const { photos, classes } = results
  const progress = new Progress(photos.length, given.json ? 'json' : 'none')
  async function* read() {
    const load = async (photo: ResultPhoto) => ({ ...(await readExported(photo)), photo: photo.photo })
    for await (const photo of inOrder(photos, window, signal, load)) {
      yield photo
      progress.done({
        json: ({ ended, total, perSecond }) => ({ event: 'done', id: photo.id, ended, total, perSecond }),
      })
    }
  }
  let written: string
  try {
    written = await writers[given.format]({ listed: photos, read, classes }, options)
  } finally {
    progress.stop()
  }
  if (given.json) say(JSON.stringify({ event: 'end', photos: photos.length, written: resolve(written) }))
  else say(`${counted(photos.length, 'photo')} exported: ${oneLine(resolve(written))}`)
}

/** @throws UsageError for options that the format does not have */
function checkOptions(given: ExportArguments): WriteOptions {
  const { format, polygons, rle, regions, linkPhotos, urlPrefix, out } = given
  if (polygons && rle) throw new UsageError('export: --polygons and --rle cannot be used together; choose one')
  const asked = polygons ? 'polygons' : rle ? 'rle' : undefined
  if (asked && !shapes[format].includes(asked)) throw notFor(`--${asked}`, format)
  if (regions && shapes[format].length < 2) throw notFor('--regions', format)
  if (linkPhotos && format !== 'yolo') throw notFor('--link-photos', format)
  if (urlPrefix !== undefined && format !== 'label-studio') throw notFor('--url-prefix', format)
  return {
    out,
    shape: asked ?? shapes[format][0] ?? 'rle',
    regions: regions ?? false,
    linkPhotos: linkPhotos ?? false,
    urlPrefix: urlPrefix ?? localFiles,
  }
}

const notFor = (option: string, format: Format): UsageError =>
  new UsageError(`export: ${option} cannot be used with --format ${format}; leave it out`)

/** Pictures among the masks would be masks the next time, and could replace those that are there. */
function checkFolders(folder: string, { masks }: Results, { out }: ExportArguments): void {
  if (isWithin(realFolder(out), realFolder(masks)))
    throw new UsageError(`export: ${out} is in the folder of the masks, ${masks}; choose another folder with --out`)
  if (realFolder(out) === realFolder(folder))
    throw new UsageError(`export: ${out} is the folder of the results; choose another folder with --out`)
}

/** @throws UsageError for a photo that is not known or not there, where the format needs it */
function checkPhotos(photos: readonly ResultPhoto[], { format, linkPhotos }: ExportArguments): void {
  if (format === 'grey' || format === 'rgb') return
  const isOpened = linkPhotos || format === 'labelme'
  for (const { mask, photo } of photos) {
    if (photo === undefined)
      throw new UsageError(`export: the mask ${mask} does not say which photo it is of; name the photos' folder with --photos`)
    if (isOpened && !existsSync(photo))
      throw new UsageError(`export: ${photo}, the photo of the mask ${mask}, is not there; name the photos' folder with --photos`)
  }
}
