import { createHash } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { packageVersion, resolveCrfOptions } from 'clip-es/support'
import sharp from 'sharp'
import { listIds } from '../eval/files.js'
import { camExtensions } from '../formats/cam_file.js'
import { realFolder } from '../photos/names.js'
import { encodeOutputs, ignoredShare, type Segmented } from '../pipeline/outputs.js'
import { type Outcome, runPipeline, type Stages } from '../pipeline/pipeline.js'
import { type Event, failureEvent, figuresText, ignoredText, Progress, sayEnd, sayStart } from '../pipeline/progress.js'
import { isDone, Journal, type JournalEntry, photoState, readJournal } from '../results/journal.js'
import { claimFolder, type Manifest, readManifest } from '../results/manifest.js'
import { type OutputKind, ResultStore, resultFolder } from '../results/store.js'
import { classFileNamed } from '../shared/class_sets.js'
import { makeOutFolder } from '../shared/out_folder.js'
import { oneLine } from '../shared/say.js'
import { stopSignal } from '../shared/stop.js'
import { asUsage, UsageError } from '../shared/usage.js'
import { counted } from '../shared/wording.js'
import { photoOf, type RefineOptions, refine } from './refine.js'

export interface CrfArguments {
  photos?: string
  classFile?: string
  out: string
  backgroundPower: number
  ignoreBelow: number
  rounds?: number
  positionSigma?: number
  positionWeight?: number
  bilateralPositionSigma?: number
  bilateralColourSigma?: number
  bilateralWeight?: number
  released: boolean
  confidence: boolean
  overwrite: boolean
  json: boolean
}

const window = 3 // one photo computes, one is read, one is written
const shard = 'crf'

/** What to refine, and how. */
interface Plan {
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

function planOf(folder: string, options: CrfArguments, signal: AbortSignal): Plan {
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
  const made = { maps: resolve(maps), crf, backgroundPower, ignoreBelow }
  return {
    ...{ maps, ids },
    photo: (id) => (options.photos === undefined && known.get(id)?.photo) || photoOf(options.photos ?? '.', id),
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

/** Runs `clip-es crf`. False when any photo failed, after the rest was done. */
export async function crf(folder: string, options: CrfArguments): Promise<boolean> {
  const signal = stopSignal()
  const plan = await asUsage(() => planOf(folder, options, signal))
  makeOutFolder('crf', options.out)
  sharp.concurrency(1) // the cores belong to the engine
  const journal = await asUsage(() => new Journal(options.out, shard))
  try {
    const before = readJournal(options.out)
    checkSettings(before, plan, options)
    if (plan.manifest) claimFolder(options.out, plan.manifest, true, () => undefined)
    const store = new ResultStore(options.out, shard)
    try {
      return await work(plan, { store, journal, before }, options, signal)
    } finally {
      store.close()
    }
  } finally {
    journal.close()
  }
}

/** Nothing would distinguish masks of different settings in one folder. */
function checkSettings(before: ReadonlyMap<string, JournalEntry>, { settings }: Plan, { out, overwrite }: CrfArguments): void {
  const other = [...before.values()].find((entry) => !entry.failed && !entry.settings.startsWith(settings))
  if (other && !overwrite)
    throw new UsageError(
      `crf: ${out} holds results of other maps or settings (${other.id}); choose another folder with --out, or replace them with --overwrite`,
    )
}

interface Parts {
  store: ResultStore
  journal: Journal
  before: ReadonlyMap<string, JournalEntry>
}

/** Settings and the state of the maps' file: what a result depends on but its photo. */
function madeWith({ maps, settings }: Plan, id: string): string {
  const file = camExtensions.map((extension) => join(maps, id + extension)).find((path) => existsSync(path)) ?? ''
  const { bytes, modified } = photoState(file)
  return `${settings} ${bytes} ${modified}`
}

type PhotoState = ReturnType<typeof photoState> & { settings: string; photo: string }
type Made = Segmented & { labels: readonly number[] }

/** A photo's maps became a mask. */
interface Summary {
  maps: readonly number[]
  ignored: number
}

/** The steps of `clip-es crf`: maps instead of a model. */
function crfStages(plan: Plan, { store, journal }: Parts): Stages<string, PhotoState, Made, Summary> {
  const { outputs, colours } = plan
  return {
    prepare(id) {
      store.check(id, outputs)
      const photo = plan.photo(id)
      return { ...photoState(photo), photo, settings: madeWith(plan, id) }
    },
    segment: async (id) => await refine(plan.maps, id, plan.photo(id), plan.refine),
    encode: (made) => encodeOutputs(outputs, made, { names: [], colours }),
    save(files, { labels, mask }, id, state) {
      store.save(id, files as ReadonlyMap<OutputKind, Uint8Array>)
      journal.add({ id, labels: [...labels], ...state })
      return { maps: labels, ignored: ignoredShare(mask) }
    },
  }
}

function describe(outcome: Outcome<string, Summary>): Event {
  const id = outcome.item
  if ('error' in outcome) return failureEvent(id, outcome.error.message, { event: 'failed', id, message: outcome.error.message })
  const { maps, ignored } = outcome.summary
  const words = [counted(maps.length, 'map'), ...ignoredText(ignored)].join(', ')
  return {
    text: (figures) => `${oneLine(id)}: ${words} (${figuresText(figures)})`,
    json: ({ ended, total, perSecond }) => ({ event: 'done', id, labels: maps, ignored, ended, total, perSecond }),
  }
}

async function work(plan: Plan, parts: Parts, { overwrite, json, out }: CrfArguments, signal: AbortSignal): Promise<boolean> {
  const { store, before } = parts
  const isLeft = (id: string) => {
    const entry = before.get(id)
    return overwrite || !entry || !store.has(id, plan.outputs) || !isDone(entry, entry, madeWith(plan, id))
  }
  const left = plan.ids.filter(isLeft)
  const already = plan.ids.length - left.length
  sayStart(left.length, already, out, json)
  const progress = new Progress(left.length, json ? 'json' : 'text')
  try {
    await runPipeline(left, crfStages(plan, parts), { window, signal, progress, describe, out })
  } finally {
    progress.stop()
  }
  sayEnd(progress, already, json)
  return progress.failures === 0
}
