import { backgrounds, type ClassFile, type EncodeClassesOptions } from 'clip-es'
import { fusions, invalid } from 'clip-es/support'

export const ranks = ['templates', 'synonyms', 'fusions', 'backgrounds'] as const
/** What is compared, all else being equal. */
export type Rank = (typeof ranks)[number]

/** How classes become texts. */
export type Encoding = Required<Omit<EncodeClassesOptions, 'signal'>>

/** One of the ways that are compared. */
export interface Candidate {
  name: string
  encoding: Encoding
  /** A class of its own, with words of its own; the others stay as they are. */
  words?: { index: number; synonyms: readonly string[] }
}

export interface CandidateLists {
  templates: readonly string[]
  /** Beside 'none', the class file's and the paper's two. */
  backgrounds: readonly (readonly string[])[]
}

/** The candidates of a ranking. Throws ERR_INVALID_ARG where there are fewer than two. */
export function candidatesOf(rank: Rank, file: ClassFile, base: Encoding, lists: CandidateLists): Candidate[] {
  const candidates = makers[rank](file, base, lists)
  if (candidates.length > 1) return candidates
  const remedy = {
    templates: 'name more of them with --templates',
    synonyms: 'no class of the class file has synonyms; add some',
    fusions: 'no class of the class file has two synonyms, so all fusions are equal; add some',
    backgrounds: 'give other words with --background',
  }[rank]
  throw invalid(`there is nothing to compare: ${remedy}`)
}

type Maker = (file: ClassFile, base: Encoding, lists: CandidateLists) => Candidate[]

const makers: Readonly<Record<Rank, Maker>> = {
  templates: (_, base, { templates }) =>
    [...new Set(templates)].map((template) => ({ name: template, encoding: { ...base, template } })),
  fusions({ classes }, base) {
    if (!classes.some(({ synonyms = [] }) => synonyms.length > 1)) return []
    return fusions.map((fusion) => ({ name: fusion, encoding: { ...base, fusion } }))
  },
  backgrounds(file, base, lists) {
    const named: [name: string, words: readonly string[]][] = [
      ['none', []],
      ...(file.background ? [['of the class file', file.background] as [string, readonly string[]]] : []),
      ["the paper's for VOC", backgrounds.voc],
      ["the paper's for COCO", backgrounds.coco],
      ...lists.backgrounds.map((words) => [words.join(', '), words] as [string, readonly string[]]),
    ]
    const seen = new Set<string>()
    const different = named.filter(([, words]) => {
      const key = JSON.stringify([...words].sort())
      return !seen.has(key) && seen.add(key)
    })
    return different.map(([name, background]) => ({ name, encoding: { ...base, background } }))
  },
  synonyms: ({ classes }, base) =>
    classes.flatMap(({ name, synonyms = [name] }, index) => {
      const words = [...new Set([name, ...synonyms])]
      if (words.length < 2) return []
      const alone = words.map((word) => ({ name: word, encoding: base, words: { index, synonyms: [word] } }))
      if (synonyms.length < 2) return alone
      return [...alone, { name: `${synonyms.join(', ')} (${base.fusion})`, encoding: base, words: { index, synonyms } }]
    }),
}
