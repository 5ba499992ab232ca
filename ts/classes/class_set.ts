import {
  checkArray,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkSignal,
  checkText,
  checkUnique,
  show,
  wrong,
} from '../core/check.js'
import { defaults, fusions, mostClasses } from '../core/defaults.js'
import { invalid } from '../core/errors.js'
import { checkFile } from '../core/file_argument.js'
import type { ClassEntry, ClassSpec, EncodeClassesOptions, Fusion } from '../core/types.js'
import type { NativeTexts } from '../engine/native.js'
import { clean } from '../text/clean.js'
import { backgrounds, fillTemplate, templates } from '../text/prompts.js'
import { encodePrompt, isReadable } from '../text/tokenizer.js'
import type { ClassSetData } from './class_set_data.js'
import { writeClassSet } from './class_set_file.js'

/** Encoded classes and background words: immutable, reusable for every image of the model they were encoded for. */
export class ClassSet {
  readonly names: readonly string[]
  readonly background: readonly string[]
  /** Background words that are not used, because they are also names or synonyms of classes. */
  readonly droppedBackground: readonly string[]
  readonly #data: ClassSetData

  private constructor(data: ClassSetData) {
    this.#data = data
    this.names = Object.freeze([...data.names])
    this.background = Object.freeze([...data.background])
    this.droppedBackground = Object.freeze([...data.droppedBackground])
    Object.freeze(this)
  }

  /** @internal For `Segmenter.encodeClasses` and `Segmenter.loadClasses`. */
  static create(data: ClassSetData): ClassSet {
    return new ClassSet(data)
  }

  /**
   * Writes names and embeddings to a safetensors file, which `segmenter.loadClasses` and the C++ engine read.
   * @param file A path or a file URL.
   * @throws ERR_INVALID_ARG, ERR_IO, or the signal's reason, if it has aborted before.
   */
  async save(file: string | URL, options?: { signal?: AbortSignal }): Promise<void> {
    const path = checkFile('save()', 'file', file)
    const { signal } = checkOptions<{ signal?: AbortSignal }>('save()', options, ['signal'])
    checkSignal('save()', signal)?.throwIfAborted()
    writeClassSet(path, this.#data)
  }

  /** @internal The texts of a softmax over these classes and the background. */
  static texts(classes: ClassSet, labels: readonly number[]): NativeTexts {
    const { rows, firstRow, backgroundRows, embedding } = classes.#data
    const ranges = labels.map((label) => [firstRow[label] as number, firstRow[label + 1] as number] as const)
    const first = Int32Array.from([0, ...ranges.map(([begin, end]) => end - begin)])
    for (let i = 1; i < first.length; i++) first[i] = (first[i] as number) + (first[i - 1] as number)
    const chosen = new Float32Array((first.at(-1) as number) * embedding)
    for (const [i, [begin, end]] of ranges.entries())
      chosen.set(rows.subarray(begin * embedding, end * embedding), (first[i] as number) * embedding)
    return { rows: chosen, firstRow: first, background: backgroundRows, values: Uint8Array.from(labels, (label) => label + 1) }
  }

  /** @internal Per class, its own threshold for labels 'auto'. */
  static labelThresholds(classes: ClassSet): readonly (number | undefined)[] {
    return classes.#data.labelThresholds
  }

  /** @internal */
  static fingerprint(classes: ClassSet): string {
    return classes.#data.fingerprint
  }
}

/** What to encode, checked. */
export interface ClassPlan {
  names: string[]
  /** Per class, the words that stand for it. */
  words: string[][]
  /** Per class, its own threshold for labels 'auto'. */
  labelThresholds: (number | undefined)[]
  background: string[]
  droppedBackground: string[]
  templates: string[]
  fusion: Fusion
  signal: AbortSignal | undefined
}

interface CheckedClass {
  name: string
  synonyms: string[]
  labelThreshold: number | undefined
}

function checkClass(call: string, spec: unknown, index: number): CheckedClass {
  const at = `classes[${index}]`
  if (typeof spec === 'string') return { name: checkText(call, at, spec), synonyms: [spec], labelThreshold: undefined }
  if (typeof spec !== 'object' || spec === null || Array.isArray(spec))
    throw wrong(call, at, spec, 'a name or { name, synonyms?, colour?, labelThreshold? }')
  const given = checkOptions(`${call}: ${at}`, spec as ClassEntry, ['name', 'synonyms', 'colour', 'labelThreshold'])
  const name = checkText(call, `${at}.name`, given.name)
  const synonyms = checkArray(call, `${at}.synonyms`, given.synonyms ?? [name], 1).map((word, i) =>
    checkText(call, `${at}.synonyms[${i}]`, word),
  )
  checkUnique(call, `${at}.synonyms`, synonyms)
  const { labelThreshold } = given
  if (labelThreshold !== undefined) checkNumber(call, `${at}.labelThreshold`, labelThreshold, 0, 1)
  return { name, synonyms, labelThreshold }
}

function checkReadable(call: string, words: readonly string[]): void {
  const empty = words.find((word) => !isReadable(word))
  if (empty !== undefined)
    throw invalid(`${call}: CLIP reads nothing in ${JSON.stringify(empty)}: it drops these characters; write a word`)
}

/** Classes that CLIP reads alike would share their pixels by chance. */
function checkDifferent(call: string, specs: readonly { name: string; synonyms: readonly string[] }[]): void {
  const seen = new Map<string, string>()
  for (const { name, synonyms } of specs) {
    const read = JSON.stringify(synonyms.map(clean))
    const other = seen.get(read)
    if (other !== undefined)
      throw invalid(
        `${call}: CLIP reads the classes ${show(other)} and ${show(name)} alike; leave one out, or give them other synonyms`,
      )
    seen.set(read, name)
  }
}

/** Arguments of encodeClasses(), checked and completed. Throws ERR_INVALID_ARG. */
export function planClasses(classes: readonly ClassSpec[], options: EncodeClassesOptions | undefined): ClassPlan {
  const call = 'encodeClasses()'
  const specs = checkArray(call, 'classes', classes, 1, mostClasses).map((spec, i) => checkClass(call, spec, i))
  const given = checkOptions<EncodeClassesOptions>(call, options, ['template', 'background', 'fusion', 'signal'])
  const { template = templates.clip_es, background = backgrounds.voc, fusion = defaults.fusion } = given
  const names = specs.map(({ name }) => name)
  checkUnique(call, 'classes', names)
  const templateList = checkArray(call, 'template', typeof template === 'string' ? [template] : template, 1) as string[]
  for (const text of templateList) fillTemplate(text, 'word') // throws for a text without exactly one {}
  const words = checkArray(call, 'background', background, 0).map((word, i) => checkText(call, `background[${i}]`, word))
  checkUnique(call, 'background', words)
  checkReadable(call, [...specs.flatMap(({ synonyms }) => synonyms), ...words])
  checkDifferent(call, specs)
  // CLIP reads both alike: compared as it reads them.
  const taken = new Set(specs.flatMap(({ name, synonyms }) => [name, ...synonyms]).map(clean))
  return {
    names,
    words: specs.map(({ synonyms }) => synonyms),
    labelThresholds: specs.map(({ labelThreshold }) => labelThreshold),
    background: words.filter((word) => !taken.has(clean(word))),
    droppedBackground: words.filter((word) => taken.has(clean(word))),
    templates: templateList,
    fusion: checkOneOf(call, 'fusion', fusion, fusions),
    signal: checkSignal(call, given.signal),
  }
}

/** The prompts of a plan in order: rows of texts, each with its prompts. A row's embedding is the mean of theirs. */
export function planRows(plan: ClassPlan): { rows: string[][]; firstRow: Int32Array; backgroundRows: string[][] } {
  const prompts = (words: readonly string[]) =>
    words.flatMap((word) => plan.templates.map((template) => fillTemplate(template, word)))
  const perClass = plan.words.map((words) => {
    if (plan.fusion === 'cam') return words.map((word) => prompts([word]))
    return [prompts(plan.fusion === 'sentence' ? [words.join(',')] : words)]
  })
  const firstRow = new Int32Array(perClass.length + 1)
  for (const [i, rows] of perClass.entries()) firstRow[i + 1] = (firstRow[i] as number) + rows.length
  return { rows: perClass.flat(), firstRow, backgroundRows: plan.background.map((word) => prompts([word])) }
}

/**
 * Checks classes and options as encodeClasses() does, including the length of every prompt. Needs no segmenter.
 * @param context how many tokens the model reads: `segmenter.model.context`
 * @throws ERR_INVALID_ARG
 */
export function checkPrompts(classes: readonly ClassSpec[], options: EncodeClassesOptions | undefined, context: number): void {
  const { rows, backgroundRows } = planRows(planClasses(classes, options))
  for (const prompt of [...rows, ...backgroundRows].flat()) encodePrompt(prompt, context)
}

/** Means of consecutive unit embeddings, each of length one again. `counts`: how many embeddings each mean takes. */
export function meanRows(embeddings: Float32Array, counts: readonly number[], embedding: number): Float32Array {
  const out = new Float32Array(counts.length * embedding)
  const sum = new Float64Array(embedding)
  let at = 0
  for (const [row, count] of counts.entries()) {
    sum.fill(0)
    for (let i = 0; i < count * embedding; i++)
      sum[i % embedding] = (sum[i % embedding] as number) + (embeddings[at + i] as number)
    at += count * embedding
    const length = Math.hypot(...sum)
    if (!(length > 0)) throw invalid(`encodeClasses(): the embeddings of text ${row} cancel out; use other synonyms or templates`)
    for (let i = 0; i < embedding; i++) out[row * embedding + i] = (sum[i] as number) / length
  }
  return out
}
