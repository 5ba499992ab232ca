import { invalid } from '../errors.js'
import { nearest } from '../nearest.js'

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
    .trim()
    .toLowerCase()
    .replace(/[\s_]+/g, ' ')

const aliases = new Map(otherNames.flatMap((pair) => [pair, pair.toReversed()]) as [string, string][])

/** Finds the classes that annotations name. */
export class LabelIndex {
  readonly #exact: ReadonlyMap<string, number>
  readonly #plain: ReadonlyMap<string, number>

  constructor(readonly names: readonly string[]) {
    this.#exact = new Map(names.map((name, i) => [name, i]))
    this.#plain = new Map(names.map((name, i) => [plain(name), i]))
  }

  /** By its name; else without regard to case and underscores; else by its name in VOC or COCO. */
  find(word: string): number | undefined {
    return this.#exact.get(word) ?? this.#plain.get(plain(word)) ?? this.#plain.get(aliases.get(plain(word)) ?? '')
  }

  /**
   * The indices of words, ascending and each once.
   * @throws ERR_INVALID_ARG for a word that is no class: a mask without it would be of another question
   */
  resolve(words: Iterable<string>): number[] {
    const found = new Set<number>()
    for (const word of words) {
      const index = this.find(word)
      if (index === undefined) {
        const near = nearest(plain(word), this.names)
        throw invalid(`the label '${word}' is no class of the class file${near === undefined ? '' : `; did you mean '${near}'?`}`)
      }
      found.add(index)
    }
    return [...found].sort((a, b) => a - b)
  }
}
