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
import type { DatasetItem, PackedDataset } from '../sources/dataset.js'
import { drawRanking } from './chart.js'
import { encodePhotos } from './encode_photos.js'
import { defaultCacheFile, encoderKey, FeatureCache } from './feature_cache.js'
import type { PromptsOptions } from './options.js'
import { candidatesAsked } from './plan.js'
import { checkCandidates, type EncodedPhotos, type Measure, type Ranking, rankCandidates, type Softmax } from './rank.js'
import { rankingTable, tableHead } from './table.js'

/** How many photos went through the network, and which could not. */
interface Counts {
  encoded: number
  reused: number
  failed: { id: string; message: string }[]
}

/** Runs `clip-es prompts`. False when a photo failed: the ranking is of the others. */
export async function prompts(given: PromptsOptions): Promise<boolean> {
  const { rank, by } = given
  // Entropy needs no labels: all photos are listed.
  const options = by === 'entropy' && given.labels === undefined ? { ...given, labels: 'auto' } : given
  const kind = kindOf('prompts', options)
  if (options.out !== undefined) throw new UsageError('prompts: --out needs --thresholds; --plot and --json give a ranking')
  if (by === 'sharpness' && findsLabels(options))
    throw new UsageError(
      'prompts: sharpness compares the classes that are known to be in a photo; --labels must name a file, or use --by entropy',
    )
  const signal = stopSignal()
  const model = resolveModelPath(options.model)
  const file = await asUsage(() => classesFor('prompts', kind, options.classFile, model))
  const { candidates, softmax } = await asUsage(() => candidatesAsked(options, file))
  const found = await asUsage(() => readDataset(kind, options, file))
  const items = by === 'entropy' ? [...found.items] : multiLabel(found)
  sharp.concurrency(1) // the cores belong to the engine
  const segmenter = await Segmenter.load({ ...loadOptions(options), model, signal })
  try {
    await asUsage(() => checkCandidates(candidates, file, segmenter.model.context))
    const cache = await asUsage(() => openCache(segmenter, options, sourceOf(kind, options)[kind] as string))
    const what = by === 'entropy' ? counted(items.length, 'photo') : `${counted(items.length, 'photo')} with two labels or more`
    const { photos, ...counts } = await embed(items, what, found, segmenter, cache, signal)
    if (!photos.size) throw new ClipEsError('ERR_INVALID_ARG', 'prompts: no photo could be read: listed above')
    const progress = new Progress(candidates.length, 'none')
    const parts = { segmenter, file, photos, by, softmax, signal }
    const rankings = await rankCandidates(candidates, parts, () => progress.done()).finally(() => progress.stop())
    await tell(rankings, { rank, by, softmax, photos: photos.size, ...counts, cache: cache.file }, options)
    return counts.failed.length === 0
  } finally {
    await segmenter.close()
  }
}

/** The photos whose sharpness is defined. Throws UsageError where there is none. */
function multiLabel({ items }: PackedDataset): DatasetItem[] {
  const several = [...items].filter(({ labels }) => labels !== undefined && labels.length > 1)
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

/** Gets the photos' embeddings, and says where from. @param what the photos in words */
async function embed(
  items: readonly DatasetItem[],
  what: string,
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
      complain(`${what}: ${known} encoded before, ${left} to do; kept in ${cache.file}`)
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
  by: Measure
  softmax: Softmax
  photos: number
  cache: string
}

const softmaxNames: Readonly<Record<Softmax, string>> = {
  'classes alone': 'classes',
  'with background': 'classes and background words',
}

const explanations: Readonly<Record<Measure, string>> = {
  sharpness: "variance / mean of their labels' scores, lower is sharper",
  entropy: 'of the scores of all words, lower is more decided',
}

/** Prints the ranking and draws it. */
async function tell(rankings: readonly Ranking[], told: Told, { json, plot }: PromptsOptions): Promise<void> {
  const softmax = softmaxNames[told.softmax]
  if (json) say(JSON.stringify({ ...told, softmax, rankings }))
  else {
    say(`${told.rank} by ${told.by} over ${counted(told.photos, 'photo')}: ${explanations[told.by]}`)
    say(`softmax over ${softmax}\n${tableHead(told.by)}\n${rankingTable(rankings)}`)
  }
  const title = `${told.by} over ${counted(told.photos, 'photo')}, softmax over ${softmax} (lower is better)`
  if (plot !== undefined) writeOutput('prompts', '--plot', plot, await drawRanking(rankings, title))
}
