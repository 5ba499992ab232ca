import { realpathSync } from 'node:fs'
import { parse, relative, resolve, sep } from 'node:path'
import type { ClassFile } from 'clip-es'
import { plainName } from '../files/existing.js'
import { findPhotos } from '../photos/find.js'
import { isWithin, stemOf } from '../photos/names.js'
import { leftOutNotes } from '../photos/sort_out.js'
import { UsageError } from '../shared/usage.js'
import { type Kind, kindOf, readDataset, sourceOf } from '../sources/data_set.js'
import type { Dataset, PackedDataset } from '../sources/dataset.js'
import { sameNames } from '../sources/folder.js'
import { PhotoList } from '../sources/photo_list.js'
import type { PredictOptions } from './options.js'

/** The photos that the command line means. */
export interface Found {
  dataset: PackedDataset
  /** For the manifest: 'voc val', 'folder', 'photos', and where they are. */
  set: string
  source: Record<string, string>
}

/** @throws UsageError, ERR_INVALID_ARG for a command line that names no photos, or two kinds of them */
export async function findPredictPhotos(args: readonly string[], options: PredictOptions, file: ClassFile): Promise<Found> {
  const named = options.voc ?? options.coco ?? options.folder
  if (args.length && named !== undefined)
    throw new UsageError(`predict: name photos or a data set, not both: ${args[0]} and ${named}`)
  if (args.length) return await photosOf(args, options)
  const asked = withoutLabels(options)
  const kind = kindOf('predict', asked)
  const dataset = await readDataset(kind, asked, file)
  return { dataset, set: setOf(kind, options), source: sourceOf(kind, asked) }
}

const setOf = (kind: Kind, { split }: PredictOptions): string => (kind === 'voc' ? `voc ${split}` : kind)

/** Labels are read only where they limit the masks: 'auto' lists the photos alone. */
function withoutLabels(options: PredictOptions): PredictOptions {
  const { knownLabels, labels, folder } = options
  if (labels !== undefined && !knownLabels)
    throw new UsageError('predict: --labels only limits the masks with --known-labels; add --known-labels, or leave out --labels')
  if (knownLabels && folder !== undefined && labels === undefined)
    throw new UsageError('predict: --known-labels needs --labels with --folder')
  return knownLabels ? options : { ...options, labels: 'auto' }
}

/** The photos that arguments name. A photo of a folder has the id that it has in a data set of this folder. */
async function photosOf(args: readonly string[], { out, knownLabels }: PredictOptions): Promise<Found> {
  if (knownLabels) throw new UsageError('predict: --known-labels needs a data set: --voc, --coco, or --folder with --labels')
  const dataset: Dataset = { items: [], failures: [], notes: [] }
  const taken = new Map<string, string>()
  for (const arg of args) {
    const { photos, notFound, walked, leftOut } = await findPhotos([arg], out)
    dataset.notes.push(...leftOutNotes(leftOut))
    for (const { path, reason } of notFound) dataset.failures.push({ id: path, message: reason })
    for (const { path, file } of photos) {
      const id = idOf(file, walked.length ? resolve(arg) : undefined)
      const other = taken.get(plainName(id))
      if (other === file) continue
      if (other !== undefined) dataset.failures.push({ id: path, message: sameNames(other) })
      else {
        taken.set(plainName(id), file)
        dataset.items.push({ id, photo: file })
      }
    }
  }
  return {
    dataset: { ...dataset, items: new PhotoList(dataset.items) },
    set: 'photos',
    source: { kind: 'photos', folder: realpathSync('.') },
  }
}

/** The path from the folder that was named; else from the working directory, or from the root of the file system for what is outside. */
function idOf(file: string, folder: string | undefined): string {
  const from = folder ?? (isWithin(file, process.cwd()) ? process.cwd() : parse(file).root)
  return stemOf(relative(from, file)).replaceAll(sep, '/')
}
