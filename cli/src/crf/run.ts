import { createHash } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { maskPalette } from 'clip-es/photos'
import { packageVersion, resolveCrfOptions } from 'clip-es/support'
import sharp from 'sharp'
import { classFileNamed } from '../class_sets.js'
import { listIds } from '../eval/files.js'
import { camExtensions } from '../formats/cam_file.js'
import { inLanes } from '../lanes.js'
import { makeOutFolder } from '../out_folder.js'
import { realFolder } from '../photos/names.js'
import { isDone, Journal, type JournalEntry, photoState, readJournal } from '../results/journal.js'
import { claimFolder, type Manifest, readManifest } from '../results/manifest.js'
import { type OutputKind, ResultStore, resultFolder } from '../results/store.js'
import { duration, ignoredText, RunProgress, rateText } from '../run_progress.js'
import { say } from '../say.js'
import { counted, messageOf } from '../sources/dataset.js'
import { stopSignal } from '../stop.js'
import { asUsage, UsageError } from '../usage.js'
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

const lanes = 3 // one computes, one reads, one writes
const maxPixels = 100e6 // as the engine's default
const shard = 'crf'

/** What to refine, and how. */
interface Plan {
  /** The folder of the maps' files. */
  maps: string
  ids: string[]
  photo: (id: string) => string
  refine: RefineOptions
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
      ...{ crf, backgroundPower, ignoreBelow, confidence, maxPixels, signal },
      palette: maskPalette(classes?.map(({ colour }) => colour)),
      // As the maps were made: `segment` obeys EXIF orientation; data sets, and the released code, do not.
      orientation: source || existsSync(join(maps, `${ids[0]}.npy`)) ? 'ignored' : 'obeyed',
    },
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
      return await work(plan, { store, journal, before }, options)
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

async function work(plan: Plan, { store, journal, before }: Parts, options: CrfArguments): Promise<boolean> {
  const outputs: OutputKind[] = options.confidence ? ['mask', 'confidence'] : ['mask']
  const isLeft = (id: string) => {
    const entry = before.get(id)
    return options.overwrite || !entry || !store.has(id, outputs) || !isDone(entry, entry, madeWith(plan, id))
  }
  const left = plan.ids.filter(isLeft)
  const already = plan.ids.length - left.length
  const tell = (line: string) => options.json || say(line)
  tell(`${counted(left.length, 'photo')} to do${already ? `, ${already} done before` : ''}; results in ${resolve(options.out)}`)
  const progress = new RunProgress(left.length, options.json ? 'json' : 'text')
  const { signal } = plan.refine
  try {
    await inLanes(left, lanes, signal, async (id) => {
      const settings = madeWith(plan, id)
      try {
        const photo = plan.photo(id)
        const state = photoState(photo)
        store.check(id, outputs)
        const { keys, ignored, files } = await refine(plan.maps, id, photo, plan.refine)
        store.save(id, files)
        journal.add({ id, photo, labels: keys, ...state, settings })
        progress.done(id, { labels: keys, ignored }, [counted(keys.length, 'map'), ...ignoredText(ignored)].join(', '))
      } catch (error) {
        if (!signal.aborted) progress.failed(id, messageOf(error))
      }
    })
  } finally {
    progress.stop()
  }
  return end(progress, left.length, already, options)
}

/** Says what was done. */
function end({ seconds, failures }: RunProgress, tried: number, already: number, { json }: CrfArguments): boolean {
  const done = tried - failures
  if (json) say(JSON.stringify({ event: 'end', done, already, failed: failures, seconds: Number(seconds.toFixed(3)) }))
  else {
    const rate = done ? ` (${rateText(done / seconds)})` : ''
    const failed = failures ? `, ${failures} failed: listed above` : ''
    say(`${counted(done, 'photo')} done in ${duration(seconds)}${rate}${failed}`)
  }
  return failures === 0
}
