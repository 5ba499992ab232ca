import { createHash } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { CrfOptions } from 'clip-es'
import { packageVersion, resolveCrfOptions } from 'clip-es/support'
import { listIds } from '../eval/files.js'
import { camExtensions } from '../formats/read_cams.js'
import { photosById } from '../photos/by_id.js'
import { realFolder } from '../photos/names.js'
import { type JournalEntry, photoState, readJournal } from '../results/journal.js'
import { type Manifest, readManifest } from '../results/manifest.js'
import { type OutputKind, resultFolder } from '../results/store.js'
import { classFileNamed } from '../shared/class_sets.js'
import { UsageError } from '../shared/usage.js'
import type { RefineOptions } from './refine.js'

export interface CrfArguments extends Omit<CrfOptions, 'released'> {
  photos?: string
  classFile?: string
  out: string
  backgroundPower: number
  ignoreBelow: number
  released: boolean
  confidence: boolean
  overwrite: boolean
  json: boolean
}

/** What to refine, and how. */
export interface Plan {
  /** The folder of the maps' files. */
  maps: string
  ids: string[]
  photo: (id: string) => string
  refine: RefineOptions
  outputs: readonly OutputKind[]
  /** Of the classes, for masks. */
  colours: readonly (string | undefined)[]
  /** Names the settings in the journal. */
  settings: string
  /** Says how the results were made, where the maps' folder says how these were. */
  manifest: Manifest | undefined
}

/** What the command line asks for. Throws UsageError, ERR_INVALID_ARG. */
export function planOf(folder: string, options: CrfArguments, signal: AbortSignal): Plan {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new UsageError(`crf: there is no folder ${folder}; name one that segment or dataset filled with --cams`)
  if (realFolder(folder) === realFolder(options.out))
    throw new UsageError(`crf: the masks in ${folder} would be replaced; choose another folder with --out`)
  const inside = resultFolder(folder, 'cams')
  const maps = existsSync(inside) ? inside : folder
  const ids = listIds(maps, camExtensions)
  if (!ids.length) throw new UsageError(`crf: there are no maps (${camExtensions.join(', ')}) in ${maps}`)
  const source = readManifest(folder)
  const classes = options.classFile === undefined ? source?.settings.classes : classFileNamed(options.classFile).classes
  const { backgroundPower, ignoreBelow, confidence } = options
  const { rounds, positionSigma, positionWeight, bilateralPositionSigma, bilateralColourSigma, bilateralWeight, released } =
    options
  const given = { rounds, positionSigma, positionWeight, bilateralPositionSigma, bilateralColourSigma, bilateralWeight }
  const said = Object.entries(given).filter(([, value]) => value !== undefined)
  const crf = resolveCrfOptions('crf', { ...Object.fromEntries(said), released })
  const known = source ? readJournal(folder) : new Map<string, JournalEntry>()
  const photoOf = photosById(options.photos ?? '.')
  const made = { maps: resolve(maps), crf, backgroundPower, ignoreBelow }
  return {
    ...{ maps, ids },
    photo: (id) => (options.photos === undefined && known.get(id)?.photo) || photoOf(id),
    refine: {
      ...{ crf, backgroundPower, ignoreBelow, signal },
      // As the maps were made: `segment` obeys EXIF orientation; data sets, and the released code, do not.
      orientation: source || existsSync(join(maps, `${ids[0]}.npy`)) ? 'ignored' : 'obeyed',
    },
    outputs: confidence ? ['mask', 'confidence'] : ['mask'],
    colours: classes?.map(({ colour }) => colour) ?? [],
    settings: createHash('sha256').update(JSON.stringify(made)).digest('hex').slice(0, 16),
    manifest: source && {
      ...source,
      version: packageVersion(),
      settings: { ...source.settings, backgroundPower, ignoreBelow, crf },
    },
  }
}

/** Settings and the state of the maps' file: what a result depends on but its photo. */
export function madeWith({ maps, settings }: Plan, id: string): string {
  const file = camExtensions.map((extension) => join(maps, id + extension)).find((path) => existsSync(path)) ?? ''
  const { bytes, modified } = photoState(file)
  return `${settings} ${bytes} ${modified}`
}
