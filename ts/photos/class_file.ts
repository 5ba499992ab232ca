import { findNodeAtLocation, type Node } from 'jsonc-parser'
import { fusions, mostClasses } from '../core/defaults.js'
import { invalid } from '../core/errors.js'
import { checkFile } from '../core/file_argument.js'
import type { ClassEntry, ClassFile } from '../core/types.js'
import { readRegularSync } from '../files/read_regular.js'
import { clean } from '../text/clean.js'
import { fillTemplate } from '../text/prompts.js'
import { isReadable } from '../text/tokenizer.js'
import { type Check, JsonChecker } from './json_checker.js'
import { parseColour } from './palette.js'

/** The keys of a class file and their rules. */
class ClassFileChecker extends JsonChecker {
  background: Check = (node, at) => {
    const none = node.type === 'array' && node.children?.length === 0
    if (!none) this.strings(node, at)
  }

  template: Check = (node, at) => {
    if (node.type === 'array') this.list(node, at, 'templates', this.oneTemplate)
    else this.oneTemplate(node, at)
  }

  oneTemplate: Check = (node, at) => {
    try {
      fillTemplate(node.value, '')
    } catch {
      this.wrong(node, at, 'a string with {} in it exactly once, where the word goes')
    }
  }

  fusion: Check = (node, at) => {
    this.oneOf(node, at, fusions)
  }

  boxThreshold: Check = (node, at) => {
    if (!(node.type === 'number' && node.value >= 0 && node.value < 1)) this.wrong(node, at, 'a number from 0 to below 1')
  }

  labelThreshold: Check = (node, at) => {
    if (!(node.type === 'number' && node.value >= 0 && node.value <= 1)) this.wrong(node, at, 'a number from 0 to 1')
  }

  colour: Check = (node, at) => {
    try {
      parseColour(node.value)
    } catch {
      this.wrong(node, at, "a colour: '#rrggbb' or '#rgb'")
    }
  }

  classes: Check = (node, at) => {
    this.list(node, at, `1 to ${mostClasses} classes`, (entry, where) => this.object(entry, where, this.entryKeys, 'name'))
    const count = node.children?.length ?? 0
    if (count > mostClasses) this.fail(node, at, `has ${count} classes; at most ${mostClasses} fit into a mask`)
    this.uniqueNames(node, at)
    this.different(node, at)
  }

  uniqueNames(node: Node, at: string): void {
    const seen = new Map<string, number>()
    for (const [i, entry] of (node.children ?? []).entries()) {
      const name = findNodeAtLocation(entry, ['name']) as Node // checked by object()
      const first = seen.get(name.value)
      if (first !== undefined)
        this.fail(name, `${at}[${i}].name`, `is ${JSON.stringify(name.value)}, as ${at}[${first}].name is; names must be unique`)
      seen.set(name.value, i)
    }
  }

  /** CLIP must be able to read every word, and must not read two classes as the same words. */
  different(node: Node, at: string): void {
    const seen = new Map<string, number>()
    for (const [i, entry] of (node.children ?? []).entries()) {
      const name = findNodeAtLocation(entry, ['name']) as Node
      const words = findNodeAtLocation(entry, ['synonyms'])?.children ?? [name]
      const empty = words.find(({ value }) => !isReadable(value))
      if (empty) this.wrong(empty, `${at}[${i}]: a word`, 'a word that CLIP reads: it drops these characters')
      const read = JSON.stringify(words.map(({ value }) => clean(value)))
      const first = seen.get(read)
      if (first !== undefined)
        this.fail(entry, `${at}[${i}]`, `is read by CLIP as ${at}[${first}] is; leave one out, or give them other synonyms`)
      seen.set(read, i)
    }
  }

  readonly entryKeys: Readonly<Record<keyof ClassEntry, Check>> = {
    name: this.string,
    synonyms: this.strings,
    colour: this.colour,
    labelThreshold: this.labelThreshold,
  }

  readonly fileKeys: Readonly<Record<keyof ClassFile, Check>> = {
    template: this.template,
    fusion: this.fusion,
    boxThreshold: this.boxThreshold,
    background: this.background,
    classes: this.classes,
  }
}

/**
 * The class file in `text`; `path` is its name in messages. Only `classes` must be there; what is not there stays absent.
 * @throws ClipEsError ERR_INVALID_ARG with line and column of a syntax error, or line and JSON path of a bad value
 */
export function parseClassFile(text: string, path: string): ClassFile {
  const checker = new ClassFileChecker(text, path)
  checker.object(checker.parse(), '', checker.fileKeys, 'classes')
  return JSON.parse(text) as ClassFile // plain objects; the parser's own have no prototype
}

/**
 * Reads a class file: JSON in UTF-8, with or without a byte-order mark. Only `classes` must be there; what is not there stays absent.
 * @param source its path or file URL
 * @throws ERR_INVALID_ARG for a file that cannot be read or is not a class file; the message names the file, the line and the key
 */
export function readClassFile(source: string | URL): ClassFile {
  const path = checkFile('readClassFile()', 'source', source)
  let bytes: Uint8Array
  try {
    bytes = readRegularSync(path)
  } catch (cause) {
    throw invalid(`${path}: cannot be read (${(cause as Error).message}); give the path of a class file`, { cause })
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw invalid(`${path}: is not UTF-8 text; save it as UTF-8`, { cause })
  }
  return parseClassFile(text, path)
}
