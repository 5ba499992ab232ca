import { resolve } from 'node:path'
import { ClipEsError, defaults, Segmenter } from 'clip-es'
import { resolveModelPath } from 'clip-es/support'
import sharp from 'sharp'
import { failureEvent, Progress } from '../pipeline/progress.js'
import { loadOptions } from '../shared/engine_options.js'
import { writeOutput } from '../shared/out_folder.js'
import { complain, oneLine, say } from '../shared/say.js'
import { stopSignal } from '../shared/stop.js'
import { asUsage, UsageError } from '../shared/usage.js'
import { counted } from '../shared/wording.js'
import { classesFor, findsLabels, kindOf, readDataset, sourceOf } from '../sources/data_set.js'
import type { LabelledItem, PackedDataset } from '../sources/dataset.js'
import { drawRanking } from './chart.js'
import { encodePhotos } from './encode_photos.js'
import { defaultCacheFile, encoderKey, FeatureCache } from './feature_cache.js'
import type { PromptsOptions } from './options.js'
import { candidatesAsked } from './plan.js'
import { checkCandidates, type EncodedPhotos, type Ranking, rankCandidates, type Softmax } from './rank.js'
import { rankingTable, tableHead } from './table.js'

/** How many photos went through the network, and which could not. */
interface Counts {
  encoded: number
  reused: number
  failed: { id: string; message: string }[]
}

/** Runs `clip-es prompts`. False when a photo failed: the ranking is of the others. */
export async function prompts(options: PromptsOptions): Promise<boolean> {
  const kind = kindOf('prompts', options)
  if (findsLabels(options))
    throw new UsageError('prompts: sharpness compares the classes that are known to be in a photo; --labels must name a file')
  const signal = stopSignal()
  const model = resolveModelPath(options.model)
  const file = await asUsage(() => classesFor('prompts', kind, options.classFile, model))
  const { candidates, softmax } = await asUsage(() => candidatesAsked(options, file))
  const found = await asUsage(() => readDataset(kind, options, file))
  const items = multiLabel(found)
  sharp.concurrency(1) // the cores belong to the engine
  const segmenter = await Segmenter.load({ ...loadOptions(options), model, signal })
  try {
    await asUsage(() => checkCandidates(candidates, file, segmenter.model.context))
    const cache = await asUsage(() => openCache(segmenter, options, sourceOf(kind, options)[kind] as string))
    const { photos, ...counts } = await embed(items, found, segmenter, cache, signal)
    if (!photos.size) throw new ClipEsError('ERR_INVALID_ARG', 'prompts: no photo could be read: listed above')
    const progress = new Progress(candidates.length, 'none')
    const parts = { segmenter, file, photos, softmax, signal }
    const rankings = await rankCandidates(candidates, parts, () => progress.done()).finally(() => progress.stop())
    await tell(rankings, { rank: options.rank, softmax, photos: photos.size, ...counts, cache: cache.file }, options)
    return counts.failed.length === 0
  } finally {
    await segmenter.close()
  }
}

/** The photos that say something. Throws UsageError where there is none. */
function multiLabel({ items }: PackedDataset): LabelledItem[] {
  const several = [...items].filter((item): item is LabelledItem => item.labels !== undefined && item.labels.length > 1)
  if (several.length) return several
  throw new UsageError(
    `prompts: none of the ${counted(items.length, 'photo')} has two labels or more; sharpness compares the labels of one photo`,
  )
}

function openCache(segmenter: Segmenter, { cache, maxSide = defaults.maxSide }: PromptsOptions, source: string): FeatureCache {
  const { embedding, precision, device, fingerprint } = segmenter.model
  const encoder = encoderKey(fingerprint, precision, device, String(maxSide))
  return new FeatureCache(cache === undefined ? defaultCacheFile(source) : resolve(cache), encoder, embedding)
}

/** Gets the photos' embeddings, and says where from. */
async function embed(
  items: readonly LabelledItem[],
  { failures, notes }: PackedDataset,
  segmenter: Segmenter,
  cache: FeatureCache,
  signal: AbortSignal,
): Promise<Counts & { photos: EncodedPhotos }> {
  const failed = [...failures]
  for (const note of notes) complain(note)
  for (const { id, message } of failures) complain(`clip-es: ${oneLine(id)}: ${message}`)
  let reused = 0
  let progress: Progress | undefined
  try {
    const photos = await encodePhotos(items, segmenter, cache, signal, (known, left) => {
      reused = known
      complain(
        `${counted(items.length, 'photo')} with two labels or more: ${known} encoded before, ${left} to do; kept in ${cache.file}`,
      )
      const bar = new Progress(left, 'none')
      progress = bar
      return {
        done: () => bar.done(),
        failed({ id }, message) {
          failed.push({ id, message })
          bar.failed(failureEvent(id, message, {}))
        },
      }
    })
    return { photos, encoded: photos.size - reused, reused, failed }
  } finally {
    progress?.stop()
  }
}

interface Told extends Counts {
  rank: string
  softmax: Softmax
  photos: number
  cache: string
}

const softmaxNames: Readonly<Record<Softmax, string>> = {
  'classes alone': 'classes',
  'with background': 'classes and background words',
}

/** Prints the ranking and draws it. */
async function tell(rankings: readonly Ranking[], told: Told, { json, plot }: PromptsOptions): Promise<void> {
  const softmax = softmaxNames[told.softmax]
  if (json) say(JSON.stringify({ ...told, softmax, rankings }))
  else {
    say(
      `${told.rank} by sharpness over ${counted(told.photos, 'photo')}: variance / mean of their labels' scores, lower is sharper`,
    )
    say(`softmax over ${softmax}\n${tableHead}\n${rankingTable(rankings)}`)
  }
  const title = `Sharpness over ${counted(told.photos, 'photo')}, softmax over ${softmax} (lower is sharper)`
  if (plot !== undefined) writeOutput('prompts', '--plot', plot, await drawRanking(rankings, title))
}
