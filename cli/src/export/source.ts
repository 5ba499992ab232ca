import { existsSync, readdirSync } from 'node:fs'
import { basename, extname, join } from 'node:path'
import { type ClassFile, classSets } from 'clip-es'
import { invalid, ownPicture, photoOfMask } from 'clip-es/support'
import { listIds, readMap } from '../eval/files.js'
import { isRunFolder } from '../files/run_folder.js'
import { isPhotoName } from '../photos/names.js'
import { PhotoIndex } from '../photos/photo_index.js'
import { type JournalEntry, readJournal } from '../results/journal.js'
import { type Manifest, readManifest, settingsHash } from '../results/manifest.js'
import { resultFile, resultFolder } from '../results/store.js'
import { entriesOf } from '../segment/classes.js'
import { readRecord, type SegmentRecord } from '../segment/record.js'
import { classFileNamed } from '../shared/class_sets.js'
import { counted } from '../shared/wording.js'
import { FolderPhotos } from '../sources/folder.js'
import type { ExportClass, ExportPhoto } from './photo.js'

/** What the command line says about the results. */
export interface SourceArguments {
  classes?: string[]
  classFile?: string
  /** Folder of the photos. */
  photos?: string
}

/** A photo of the results, before its mask is read. */
export interface ResultPhoto extends Pick<ExportPhoto, 'id' | 'fileName' | 'scores'> {
  mask: string
  /** Where the photo is, if that is known. */
  photo: string | undefined
}

/** What a folder of results has to export. */
export interface Results {
  /** The folder of the masks. */
  masks: string
  classes: readonly ExportClass[]
  /** In the order of their ids. */
  photos: ResultPhoto[]
  /** Why the results may be incomplete. */
  warnings: string[]
}

/** A mask's name, and what is known about its photo. */
type Listed = Pick<ResultPhoto, 'id' | 'mask' | 'photo'> & { scores?: ResultPhoto['scores'] }

/**
 * The results in a folder of `clip-es dataset`, `crf` or `segment`. All keep a journal with the photos, their labels and scores;
 * `dataset` and `segment` also keep the classes. Masks without a journal know their photos, but neither classes nor scores.
 * @throws ERR_INVALID_ARG when it is not a folder of results, masks are missing, or the classes are not known
 */
export function openResults(folder: string, given: SourceArguments): Results {
  if (!existsSync(folder)) throw invalid(`there is no folder ${folder}; name one that clip-es dataset, crf or segment filled`)
  const manifest = readManifest(folder)
  const hasJournal = isRunFolder(folder)
  const warnings = hasJournal ? incomplete(folder) : []
  const record = readRecord(folder)
  const namesClasses = given.classes !== undefined || given.classFile !== undefined
  const listed = hasJournal ? listRun(folder, manifest, warnings) : listMasks(folder, record, namesClasses, warnings)
  if (!listed.length)
    throw invalid(`there are no masks of clip-es in ${folder}; name a folder that clip-es dataset, crf or segment filled`)
  const classes = classesOf(folder, manifest ?? record.manifest, given)
  const find = given.photos === undefined ? ({ photo }: Listed) => photo : photoFinder(given.photos)
  const photos = listed.map((entry): ResultPhoto => {
    const photo = find(entry)
    return { ...entry, photo, fileName: fileName(entry.id, photo), scores: entry.scores ?? new Map() }
  })
  photos.sort((a, b) => (a.id < b.id ? -1 : 1))
  return { masks: hasJournal ? resultFolder(folder, 'mask') : folder, classes, photos, warnings }
}

/** `id` with the photo's extension. Where two photos of a folder differ in their extensions only, the id has it already. */
function fileName(id: string, photo: string | undefined): string {
  if (photo === undefined || (isPhotoName(id) && basename(id) === basename(photo))) return id
  return id + extname(photo)
}

/** The photos that are done, by the journal. */
function listRun(folder: string, manifest: Manifest | undefined, warnings: string[]): Listed[] {
  const entries = [...readJournal(folder).values()]
  const failed = entries.filter((entry) => entry.failed !== undefined)
  if (failed.length) warnings.push(`left out: ${counted(failed.length, 'photo')} that failed (${some(failed)})`)
  const others = entries.filter((entry) => entry.failed === undefined && isOfOtherSettings(entry, manifest))
  if (others.length) warnings.push(`left out: ${counted(others.length, 'result')} of other settings (${some(others)})`)
  const left = new Set([...failed, ...others])
  const listed = entries
    .filter((entry) => !left.has(entry))
    .map((entry) => ({ id: entry.id, photo: entry.photo, mask: resultFile(folder, 'mask', entry.id), scores: scoresOf(entry) }))
  const missing = listed.filter(({ mask }) => !existsSync(mask))
  if (missing.length)
    throw invalid(
      `${resultFolder(folder, 'mask')} lacks ${counted(missing.length, 'mask')} that the journal lists (${some(missing)}); start the command that made the masks again: it makes the missing ones`,
    )
  return listed
}

/** Whether the manifest is about other results: the run that wrote it was stopped before it came to this photo. */
function isOfOtherSettings(entry: JournalEntry, manifest: Manifest | undefined): boolean {
  // The journal of `crf` has hashes of its own, and the manifest only says how the maps were made.
  if (manifest === undefined || typeof manifest.settings.crf === 'object') return false
  return entry.settings !== settingsHash(manifest.settings)
}

/** Signs in the journal's folder that a run is going on, was killed, or has done some of its shards only. */
function incomplete(folder: string): string[] {
  const names = readdirSync(join(folder, 'journal'))
  const warnings: string[] = []
  const lock = names.find((name) => name.endsWith('.lock'))
  if (lock !== undefined)
    warnings.push(`a run in ${folder} has not ended, or was killed (${join('journal', lock)}): photos may be missing`)
  // Which shards there are of each number of shards: the data set may have been done in 4, and again in 1.
  const done = new Map<number, Set<number>>()
  for (const name of names) {
    const [, part, of] = /^(\d+)-of-(\d+)\.jsonl$/.exec(name)?.map(Number) ?? []
    if (of !== undefined) done.set(of, (done.get(of) ?? new Set()).add(part as number))
  }
  const [most] = [...done].sort(([of, parts], [otherOf, others]) => others.size / otherOf - parts.size / of)
  if (most && most[1].size < most[0])
    warnings.push(`the run in ${folder} has ${most[0]} shards, of which ${most[1].size} began: photos may be missing`)
  return warnings
}

const scoresOf = ({ labels = [], scores = [] }: Partial<Pick<JournalEntry, 'labels' | 'scores'>>): Map<number, number> =>
  new Map(labels.flatMap((label, i) => (scores[i] === undefined ? [] : [[label + 1, scores[i]]])))

/**
 * The masks of `clip-es segment`. Unless the caller names the classes, only those of the last settings: the numbers in the others may mean
 * other classes.
 */
function listMasks(folder: string, { manifest, photos }: SegmentRecord, namesClasses: boolean, warnings: string[]): Listed[] {
  const masks = listIds(folder, ['.png'])
    .map((id) => ({ id, mask: join(folder, `${id}.png`) }))
    .filter(({ mask }) => ownPicture(mask) === 'mask')
    .map((entry) => ({ ...entry, photo: photoOfMask(entry.mask), scores: scoresOf(photos.get(entry.id) ?? {}) }))
  if (manifest === undefined || namesClasses) return masks
  const settings = settingsHash(manifest.settings)
  const isOther = ({ id }: Listed): boolean => photos.get(id)?.settings !== settings
  const others = masks.filter(isOther)
  if (others.length)
    warnings.push(
      `left out: ${counted(others.length, 'mask')} of other settings than the last run of clip-es segment (${some(others)}); name the classes with --classes to export all masks`,
    )
  return masks.filter((entry) => !isOther(entry))
}

function photoFinder(folder: string): (entry: Listed) => string {
  const photos = new FolderPhotos(folder)
  const index = new PhotoIndex([...photos])
  return ({ id }) => {
    const found = index.matches(id)
    if (found.length === 1) return join(photos.root, found[0] as string)
    throw invalid(
      found.length
        ? `${found.join(' and ')} in ${folder} are photos of the mask ${id}; keep one of them`
        : `there is no photo of the mask ${id} in ${folder}; name the folder from which the photos have the paths of their masks`,
    )
  }
}

function classesOf(folder: string, manifest: Manifest | undefined, given: SourceArguments): readonly ExportClass[] {
  const file: ClassFile | undefined = given.classFile === undefined ? undefined : classFileNamed(given.classFile)
  if (file || given.classes) return entriesOf(given.classes, file, given.classFile ?? '')
  if (manifest) return manifest.settings.classes
  const known = Object.keys(classSets).join(', ')
  throw invalid(
    `the masks in ${folder} do not say what their classes are; name them as for the command that made the masks: --classes cat,dog or --class-file with a file or one of ${known}, emoji`,
  )
}

const few = 3

const some = (entries: readonly { id: string }[]): string =>
  entries
    .slice(0, few)
    .map(({ id }) => id)
    .join(', ') + (entries.length > few ? ', …' : '')

/** A photo with its mask. Throws ERR_INVALID_ARG naming the mask's file when it cannot be read. */
export async function readExported({ id, fileName, scores, mask }: ResultPhoto): Promise<ExportPhoto> {
  const { data, width, height } = await readMap(mask)
  return { id, fileName, scores, mask: data, width, height }
}
