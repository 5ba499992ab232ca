import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import {
  type ClassEntry,
  type ClassFile,
  type ClassSet,
  type ClassSpec,
  type EncodeClassesOptions,
  type Segmenter,
  classSets as shippedSets,
} from 'clip-es'
import { readClassFile } from 'clip-es/photos'
import { embeddedModel, invalid, nearest, planClasses, show } from 'clip-es/support'
import { ServerError } from '../errors.js'

/** A class set that requests can use by its name. */
export interface NamedClassSet extends ClassFile {
  readonly name: string
  /** Whether it comes with the server and cannot be deleted. */
  readonly builtIn: boolean
}

/** Classes that are ready to be looked for. */
export interface EncodedClasses {
  classes: ClassSet
  /** As class files write them, by class. */
  colours: readonly (string | undefined)[]
  /** The class file's, if it has one. */
  boxThreshold?: number
}

const entryOf = (spec: ClassSpec): ClassEntry => (typeof spec === 'string' ? { name: spec } : spec)

/** The sets of the package. */
function shipped(): Record<string, ClassFile> {
  const emoji = join(dirname(embeddedModel()), 'emoji-classes.json')
  return { voc: shippedSets.voc, coco: shippedSets.coco, ...(existsSync(emoji) && { emoji: readClassFile(emoji) }) }
}

/** Class sets by name, and the words of earlier requests, encoded. Those that were not used for longest go first. */
export class ClassSetCache {
  readonly #segmenter: Segmenter
  readonly #most: number
  readonly #named = new Map<string, NamedClassSet>()
  /** By what they were encoded from. A promise, so that equal requests at the same time encode once. */
  readonly #encoded = new Map<string, Promise<ClassSet>>()

  constructor(segmenter: Segmenter, most: number, own: Readonly<Record<string, ClassFile>> = {}) {
    this.#segmenter = segmenter
    this.#most = most
    for (const [name, file] of Object.entries({ ...shipped(), ...own })) this.#named.set(name, { ...file, name, builtIn: true })
  }

  get all(): readonly NamedClassSet[] {
    return [...this.#named.values()]
  }

  get encodedCount(): number {
    return this.#encoded.size
  }

  has(name: string): boolean {
    return this.#named.has(name)
  }

  /** @throws ERR_NOT_FOUND, with the nearest name */
  get(name: string): NamedClassSet {
    const set = this.#named.get(name)
    if (set) return set
    const near = nearest(name, this.#named.keys())
    throw new ServerError(
      404,
      'ERR_NOT_FOUND',
      `there is no class set ${show(name)}${near ? `; did you mean '${near}'?` : ''}`,
      'GET /v1/classes lists the class sets; POST /v1/classes stores one',
    )
  }

  /**
   * Stores a class set, and encodes it, so that a wrong one is refused now.
   * @throws ERR_INVALID_ARG, also for the name of a set that comes with the server and when too many are stored
   */
  async store(name: string, file: ClassFile, signal: AbortSignal): Promise<NamedClassSet> {
    if (this.#named.get(name)?.builtIn)
      throw invalid(`the class set ${show(name)} comes with the server and cannot be replaced; choose another name`)
    const stored = this.all.filter(({ builtIn }) => !builtIn).length
    if (!this.#named.has(name) && stored >= this.#most)
      throw invalid(`${stored} class sets are stored, which is the limit; delete one with DELETE /v1/classes/{name}`)
    const set = { ...file, name, builtIn: false }
    await this.#encode(set.classes, set, signal)
    this.#named.set(name, set)
    return set
  }

  /** @throws ERR_NOT_FOUND, or ERR_INVALID_ARG for a set that comes with the server */
  delete(name: string): void {
    if (this.get(name).builtIn) throw invalid(`the class set ${show(name)} comes with the server and cannot be deleted`)
    this.#named.delete(name)
  }

  /** The classes of a request. @param classes words, or the name of a stored set; `options` win over what the set says */
  async resolve(
    classes: readonly ClassSpec[] | string,
    options: EncodeClassesOptions,
    signal: AbortSignal,
  ): Promise<EncodedClasses> {
    const set = typeof classes === 'string' ? this.get(classes) : undefined
    const specs = set ? set.classes : (classes as readonly ClassSpec[])
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
    const encoded = await this.#encode(specs, { ...set, ...given }, signal)
    return {
      classes: encoded,
      colours: specs.map((spec) => entryOf(spec).colour),
      ...(set?.boxThreshold !== undefined && { boxThreshold: set.boxThreshold }),
    }
  }

  async #encode(specs: readonly ClassSpec[], options: EncodeClassesOptions, signal: AbortSignal): Promise<ClassSet> {
    signal.throwIfAborted()
    const { template, background, fusion } = options
    const settings = {
      ...(template !== undefined && { template }),
      ...(background !== undefined && { background }),
      ...(fusion !== undefined && { fusion }),
    }
    const { names, words, ...rest } = planClasses(specs, settings) // throws before anything is kept
    const key = JSON.stringify([names, words, rest.background, rest.templates, rest.fusion, rest.labelThresholds])
    const known = this.#encoded.get(key)
    const encoding = known ?? this.#segmenter.encodeClasses(specs, settings)
    this.#encoded.delete(key)
    this.#encoded.set(key, encoding)
    if (!known) {
      encoding.catch(() => this.#encoded.delete(key))
      for (const oldest of this.#encoded.keys()) if (this.#encoded.size > this.#most) this.#encoded.delete(oldest)
    }
    const encoded = await encoding
    signal.throwIfAborted()
    return encoded
  }
}
