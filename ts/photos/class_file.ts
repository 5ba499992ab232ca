import { findNodeAtLocation, type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser'
import { invalid } from '../errors.js'
import { readRegularSync } from '../files/read_regular.js'
import { nearest } from '../nearest.js'
import { clean } from '../text/clean.js'
import { fillTemplate } from '../text/prompts.js'
import { isReadable } from '../text/tokenizer.js'
import type { ClassEntry, ClassFile, Fusion } from '../types.js'
import { parseColour } from './palette.js'

type Check = (node: Node, at: string) => void
type Position = { readonly line: number; readonly column: number }

const FUSIONS: readonly string[] = ['sentence', 'feature', 'cam'] satisfies Fusion[]
const MOST_CLASSES = 254 // a mask's byte keeps 0 for background and 255 for ignored

/** Checks a parsed file and says where in the text it is wrong. Every method returns or throws. */
class Checker {
  constructor(
    private readonly text: string,
    private readonly path: string,
  ) {}

  position(offset: number): Position {
    const lines = this.text.slice(0, offset).split(/\r\n|\r|\n/)
    return { line: lines.length, column: (lines.at(-1) ?? '').length + 1 }
  }

  syntax({ error, offset }: ParseError): never {
    const { line, column } = this.position(offset)
    const problem = printParseErrorCode(error).replace(/\B[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
    throw invalid(`${this.path}: line ${line}, column ${column}: ${problem}; the file must be JSON`)
  }

  fail(node: Node, at: string, problem: string): never {
    throw invalid(`${this.path}: line ${this.position(node.offset).line}: ${at} ${problem}`)
  }

  /** A value of the wrong kind, with itself. */
  wrong(node: Node, at: string, wanted: string): never {
    const source = this.text.slice(node.offset, node.offset + node.length).replace(/\s+/g, ' ')
    return this.fail(node, at, `is ${source.length > 60 ? `${source.slice(0, 60)}…` : source}; it must be ${wanted}`)
  }

  string: Check = (node, at) => {
    if (node.type !== 'string' || node.value.trim() === '') this.wrong(node, at, 'a string that is not empty')
  }

  strings: Check = (node, at) => this.list(node, at, 'strings', this.string)

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
    if (FUSIONS.includes(node.value)) return
    this.wrong(node, at, `one of ${FUSIONS.join(', ')}${suggestion(String(node.value), FUSIONS)}`)
  }

  boxThreshold: Check = (node, at) => {
    if (!(node.type === 'number' && node.value >= 0 && node.value < 1)) this.wrong(node, at, 'a number from 0 to below 1')
  }

  colour: Check = (node, at) => {
    try {
      parseColour(node.value)
    } catch {
      this.wrong(node, at, "a colour: '#rrggbb' or '#rgb'")
    }
  }

  classes: Check = (node, at) => {
    this.list(node, at, `1 to ${MOST_CLASSES} classes`, (entry, where) => this.object(entry, where, this.entryKeys, 'name'))
    const entries = node.children ?? []
    const count = entries.length
    if (count > MOST_CLASSES) this.fail(node, at, `has ${count} classes; at most ${MOST_CLASSES} fit into a mask`)
    const seen = new Map<string, number>()
    entries.forEach((_, i) => {
      const name = findNodeAtLocation(node, [i, 'name'])
      if (name === undefined) return // checked above
      const first = seen.get(name.value)
      if (first !== undefined) {
        this.fail(name, `${at}[${i}].name`, `is ${JSON.stringify(name.value)}, as ${at}[${first}].name is; names must be unique`)
      }
      seen.set(name.value, i)
    })
    this.different(node, at)
  }

  /** CLIP must read something in every class, and something else in each. */
  different(node: Node, at: string): void {
    const seen = new Map<string, number>()
    for (const [i, entry] of (node.children ?? []).entries()) {
      const name = findNodeAtLocation(entry, ['name'])
      const synonyms = findNodeAtLocation(entry, ['synonyms'])?.children ?? []
      const words = synonyms.length ? synonyms : name ? [name] : []
      const empty = words.find(({ value }) => !isReadable(value))
      if (empty) this.wrong(empty, `${at}[${i}]: a word`, 'a word that CLIP reads: it drops these characters')
      const read = JSON.stringify(words.map(({ value }) => clean(value)))
      const first = seen.get(read)
      if (first !== undefined)
        this.fail(entry, `${at}[${i}]`, `is read by CLIP as ${at}[${first}] is; leave one out, or give them other synonyms`)
      seen.set(read, i)
    }
  }

  list(node: Node, at: string, of: string, check: Check): void {
    if (node.type !== 'array' || !node.children?.length) this.wrong(node, at, `a list of ${of} that is not empty`)
    for (const [i, item] of (node.children ?? []).entries()) check(item, `${at}[${i}]`)
  }

  /** An object with these keys only, each at most once, and `required` among them. `at` is '' for the whole file. */
  object(node: Node, at: string, keys: Readonly<Record<string, Check>>, required: string): void {
    if (node.type !== 'object') this.wrong(node, at || 'the file', 'an object')
    const seen = new Set<string>()
    for (const { children: [key, value] = [] } of node.children ?? []) {
      if (key === undefined || value === undefined) continue // a syntax error, and reported as one
      const name: string = key.value
      const where = at === '' ? name : `${at}.${name}`
      const check = Object.hasOwn(keys, name) ? keys[name] : undefined
      if (check === undefined) {
        this.fail(key, where, `is not known${suggestion(name, Object.keys(keys))}; known here: ${Object.keys(keys).join(', ')}`)
      }
      if (seen.has(name)) this.fail(key, where, 'is there twice; keep one')
      seen.add(name)
      check(value, where)
    }
    if (!seen.has(required)) this.fail(node, at === '' ? required : `${at}.${required}`, 'is missing')
  }

  readonly entryKeys: Readonly<Record<keyof ClassEntry, Check>> = {
    name: this.string,
    synonyms: this.strings,
    colour: this.colour,
  }

  readonly fileKeys: Readonly<Record<keyof ClassFile, Check>> = {
    template: this.template,
    fusion: this.fusion,
    boxThreshold: this.boxThreshold,
    background: this.background,
    classes: this.classes,
  }
}

function suggestion(word: string, known: readonly string[]): string {
  const meant = nearest(word, known)
  return meant === undefined ? '' : ` (did you mean ${meant}?)`
}

/**
 * The class file in `text`; `path` is its name in messages. Only `classes` must be there; what is not there stays absent.
 * @throws ClipEsError ERR_INVALID_ARG with line and column of a syntax error, or line and JSON path of a bad value
 */
export function parseClassFile(text: string, path: string): ClassFile {
  const checker = new Checker(text, path)
  const errors: ParseError[] = []
  const root = parseTree(text, errors, { disallowComments: true })
  const [first] = errors
  if (first !== undefined) checker.syntax(first) // without errors there is a root
  checker.object(root as Node, '', checker.fileKeys, 'classes')
  return JSON.parse(text) as ClassFile // plain objects; the parser's own have no prototype
}

/**
 * The class file at `path`, UTF-8 JSON, with or without a byte-order mark.
 * @throws ClipEsError ERR_INVALID_ARG when it cannot be read or is not a class file
 */
export function readClassFile(path: string): ClassFile {
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
