import sharp from 'sharp'
import { runPipeline } from '../pipeline/pipeline.js'
import { Progress, sayEnd, sayStart } from '../pipeline/progress.js'
import { isDone, Journal, type JournalEntry, readJournal } from '../results/journal.js'
import { claimFolder } from '../results/manifest.js'
import { ResultStore, type Results } from '../results/store.js'
import { makeOutFolder } from '../shared/out_folder.js'
import { stopSignal } from '../shared/stop.js'
import { asUsage, UsageError } from '../shared/usage.js'
import { crfStages, describe } from './photo.js'
import { type CrfArguments, madeWith, type Plan, planOf } from './plan.js'

const window = 3 // one photo computes, one is read, one is written
const shard = 'crf'

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

interface Parts extends Results {
  before: ReadonlyMap<string, JournalEntry>
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
