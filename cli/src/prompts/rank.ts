import type { ClassFile, Segmenter } from 'clip-es'
import { type CompetingTexts, checkPrompts, competingTexts, textProbabilities } from 'clip-es/support'
import type { DatasetItem } from '../sources/dataset.js'
import type { Candidate, Encoding } from './candidates.js'
import type { PhotoEmbedding } from './feature_cache.js'
import { entropy, type Figures, sharpness } from './measures.js'

/** Checks the texts before any photo is encoded. Throws ERR_INVALID_ARG for repeated words and for prompts that are too long. */
export function checkCandidates(candidates: readonly Candidate[], file: ClassFile, context: number): void {
  for (const { encoding } of candidates) checkPrompts(file.classes, encoding, context)
}

/** What softmax runs over. */
export type Softmax = 'with background' | 'classes alone'

/** What candidates are ranked by: sharpness needs photos with two known labels or more, entropy no labels. */
export type Measure = 'sharpness' | 'entropy'

/** A candidate and how it does. */
export interface Ranked extends Figures {
  name: string
}

/** Candidates of one question, the best first. */
export interface Ranking {
  /** Whose synonyms they are. */
  class?: string
  candidates: Ranked[]
}

/** Photos and their embeddings. */
export type EncodedPhotos = ReadonlyMap<DatasetItem, PhotoEmbedding>

/** What a ranking is made with. */
export interface RankParts {
  segmenter: Segmenter
  file: ClassFile
  photos: EncodedPhotos
  by: Measure
  softmax: Softmax
  signal: AbortSignal
}

/** Ranks candidates; those with words of their own by class, over the photos that show it. `step` is called after each candidate. */
export async function rankCandidates(candidates: readonly Candidate[], parts: RankParts, step: () => void): Promise<Ranking[]> {
  const groups = new Map<number | undefined, Ranked[]>()
  const texts = textsMaker(parts)
  for (const candidate of candidates) {
    const index = candidate.words?.index
    const shown = [...parts.photos].filter(([{ labels }]) => index === undefined || labels?.includes(index))
    if (shown.length) {
      const figures = measure(parts.by, shown, await texts(candidate))
      groups.set(index, [...(groups.get(index) ?? []), { name: candidate.name, ...figures }])
    }
    step()
  }
  return [...groups].map(([index, ranked]) => ({
    ...(index === undefined ? {} : { class: parts.file.classes[index]?.name as string }),
    candidates: ranked.sort((a, b) => a.mean - b.mean),
  }))
}

function measure(by: Measure, photos: readonly (readonly [DatasetItem, PhotoEmbedding])[], texts: CompetingTexts): Figures {
  const probabilities = photos.map(([, { image, logitScale }]) => textProbabilities(image, texts, logitScale))
  if (by === 'entropy') return entropy(probabilities)
  return sharpness(photos.map(([{ labels = [] }], i) => labels.map((label) => probabilities[i]?.[label] as number)))
}

/** Encodes candidates. Those with words of their own have one row of their own; the rest is encoded once. */
function textsMaker({ segmenter, file, softmax, signal }: RankParts): (candidate: Candidate) => Promise<CompetingTexts> {
  let base: { encoding: Encoding; texts: CompetingTexts } | undefined
  const whole = async (encoding: Encoding): Promise<CompetingTexts> => {
    const background = softmax === 'with background' ? encoding.background : []
    return competingTexts(await segmenter.encodeClasses(file.classes, { ...encoding, background, signal }), softmax)
  }
  return async ({ encoding, words }) => {
    if (!words) return await whole(encoding)
    if (base?.encoding !== encoding) base = { encoding, texts: await whole(encoding) }
    const own = await segmenter.encodeClasses([{ name: 'own', synonyms: words.synonyms }], {
      ...encoding,
      background: [],
      signal,
    })
    const rows = base.texts.rows.slice()
    rows.set(competingTexts(own, 'classes alone').rows, words.index * base.texts.embedding)
    return { ...base.texts, rows }
  }
}
