import { resolve } from 'node:path'
import { type ClassFile, classSets } from 'clip-es'
import { embeddedModel } from 'clip-es/support'
import { classFileNamed } from '../shared/class_sets.js'
import type { SourceOptions } from '../shared/source_options.js'
import { UsageError } from '../shared/usage.js'
import { readCocoDataset } from './coco.js'
import type { Dataset, PackedDataset } from './dataset.js'
import { readFolder } from './folder.js'
import { LabelIndex } from './label_index.js'
import { PhotoList } from './photo_list.js'
import { listCoco, listFolder, listVoc } from './unlabelled.js'
import { readVoc } from './voc.js'

export type Kind = 'voc' | 'coco' | 'folder'

/** The option that a kind cannot do without, and the kinds that an option says something to. */
const needed = { voc: 'split', coco: 'annotations', folder: 'labels' } as const
const meant = { split: ['voc'], annotations: ['coco'], labels: ['folder', 'voc'] } as const satisfies Record<string, Kind[]>

/** Whether CLIP is to find the labels. A file of that name goes by ./auto. */
export const findsLabels = ({ labels }: SourceOptions): boolean => labels === 'auto'

/** Which kind of data set is asked for, with all that it needs. Throws UsageError. */
export function kindOf(command: string, options: SourceOptions): Kind {
  const kind = (['voc', 'coco', 'folder'] as const).find((name) => options[name] !== undefined)
  if (kind === undefined)
    throw new UsageError(
      `${command}: name a data set: --voc DIR --split NAME, --coco DIR --annotations FILE, or --folder DIR --labels FILE`,
    )
  if (options[needed[kind]] === undefined) throw new UsageError(`${command}: --${kind} needs --${needed[kind]}`)
  for (const [option, kinds] of Object.entries(meant) as [keyof typeof meant, readonly Kind[]][])
    if (options[option] !== undefined && !kinds.includes(kind) && !(option === 'labels' && findsLabels(options)))
      throw new UsageError(`${command}: --${option} cannot be used with --${kind}`)
  if (options.labelThreshold !== undefined && !findsLabels(options))
    throw new UsageError(`${command}: --label-threshold needs --labels auto`)
  return kind
}

/** The class file of --class-file, else the kind's own. Throws UsageError, ERR_INVALID_ARG. */
export function classesFor(command: string, kind: Kind, file: string | undefined, model: string): ClassFile {
  if (file !== undefined) return classFileNamed(file)
  if (kind !== 'folder') return classSets[kind]
  if (model === embeddedModel()) return classFileNamed('emoji')
  throw new UsageError(`${command}: --folder needs --class-file, which names the classes and fixes their numbers in the masks`)
}

/** Whole paths of everything that the command line names, so that other commands find it from elsewhere. */
export function sourceOf(kind: Kind, options: SourceOptions): Record<string, string> {
  const { voc, split, coco, annotations, folder, labels } = options
  const auto = findsLabels(options)
  const paths = Object.entries({ voc, coco, annotations, folder, labels: auto ? undefined : labels }).filter(
    (entry) => entry[1] !== undefined,
  )
  const whole = Object.fromEntries(paths.map(([name, path]) => [name, resolve(path as string)]))
  return { kind, ...(split === undefined ? {} : { split }), ...whole, ...(auto ? { labels } : {}) }
}

/** The photos and their labels. Throws ERR_INVALID_ARG when there is nothing to begin with. */
export async function readDataset(
  kind: Kind,
  options: SourceOptions & { out?: string },
  file: ClassFile,
): Promise<PackedDataset> {
  const { items, ...rest } = readSource(kind, options, file)
  return { ...rest, items: items instanceof PhotoList ? items : new PhotoList(items) }
}

function readSource(kind: Kind, options: SourceOptions & { out?: string }, file: ClassFile): Dataset | PackedDataset {
  const index = new LabelIndex(file.classes.map(({ name }) => name))
  const { voc = '', split = '', coco = '', annotations = '', folder = '', labels } = sourceOf(kind, options)
  if (findsLabels(options)) {
    if (kind === 'voc') return listVoc(voc, split)
    return kind === 'coco' ? listCoco(coco, annotations) : listFolder(folder, options.out)
  }
  if (kind === 'voc') return readVoc(voc, split, index, labels)
  return kind === 'coco' ? readCocoDataset(coco, annotations, index) : readFolder(folder, labels ?? '', index, options.out)
}
