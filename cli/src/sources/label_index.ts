import { invalid, nearest } from 'clip-es/support'

// VOC and COCO have six classes in common under two names; the paper's COCO class file has VOC's.
const otherNames = [
  ['aeroplane', 'airplane'],
  ['diningtable', 'dining table'],
  ['motorbike', 'motorcycle'],
  ['pottedplant', 'potted plant'],
  ['sofa', 'couch'],
  ['tvmonitor', 'tv'],
]

/** 'Dining_Table' and 'dining table' are one name. */
const plain = (word: string): string =>
  word
    .normalize('NFC')
    .trim()
    .toLowerCase()
    .replace(/[\s_]+/g, ' ')

const aliases = new Map(otherNames.flatMap((pair) => [pair, pair.toReversed()]) as [string, string][])

/** Finds the classes that annotations name. */
export class LabelIndex {
  readonly #exact: ReadonlyMap<string, number>
  readonly #plain = new Map<string, number>()
  /** Plain names that several classes have. */
  readonly #ambiguous = new Map<string, string[]>()

  constructor(readonly names: readonly string[]) {
    this.#exact = new Map(names.map((name, i) => [name, i]))
    for (const [i, name] of names.entries()) {
      const first = this.#plain.get(plain(name))
      if (first === undefined) this.#plain.set(plain(name), i)
      else this.#ambiguous.set(plain(name), [...(this.#ambiguous.get(plain(name)) ?? [names[first] as string]), name])
    }
  }

  /** By its name; else without regard to case and underscores; else by its name in VOC or COCO. */
  find(word: string): number | undefined {
    const exact = this.#exact.get(word)
    const several = this.#ambiguous.get(plain(word))
    if (exact === undefined && several)
      throw invalid(
        `the label '${word}' can be each of the classes ${several.map((name) => `'${name}'`).join(', ')}; write it as the class file does`,
      )
    return exact ?? this.#plain.get(plain(word)) ?? this.#plain.get(aliases.get(plain(word)) ?? '')
  }

  /**
   * The indices of words, ascending and each once.
   * @throws ERR_INVALID_ARG for a word that is not a class: a mask without it would answer another question
   */
  resolve(words: Iterable<string>): number[] {
    const found = new Set<number>()
    for (const word of words) {
      const index = this.find(word)
      if (index === undefined) {
        const near = nearest(plain(word), this.names)
        throw invalid(`the class file has no class named '${word}'${near === undefined ? '' : `; did you mean '${near}'?`}`)
      }
      found.add(index)
    }
    return [...found].sort((a, b) => a - b)
  }
}
