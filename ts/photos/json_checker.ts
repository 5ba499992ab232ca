import { type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser'
import { invalid } from '../core/errors.js'
import { nearest } from '../core/nearest.js'

/** Returns, or throws what is wrong with a value. `at` is its JSON path, such as `classes[3].name`. */
export type Check = (node: Node, at: string) => void

/** Checks the values of a JSON file. All errors are ERR_INVALID_ARG, with the file's name and the line. */
export class JsonChecker {
  /** @param path the file's name in messages */
  constructor(
    private readonly text: string,
    private readonly path: string,
  ) {}

  /** The root of the text. Throws the first syntax error with its line and column. */
  parse(): Node {
    const errors: ParseError[] = []
    const root = parseTree(this.text, errors, { disallowComments: true })
    const [first] = errors
    if (first === undefined) return root as Node // without errors there is a root
    const { line, column } = this.position(first.offset)
    const problem = printParseErrorCode(first.error).replace(/\B[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
    throw invalid(`${this.path}: line ${line}, column ${column}: ${problem}; the file must be JSON`)
  }

  private position(offset: number): { line: number; column: number } {
    const lines = this.text.slice(0, offset).split(/\r\n|\r|\n/)
    return { line: lines.length, column: (lines.at(-1) ?? '').length + 1 }
  }

  fail(node: Node, at: string, problem: string): never {
    throw invalid(`${this.path}: line ${this.position(node.offset).line}: ${at} ${problem}`)
  }

  /** A value of the wrong kind. The message shows it. */
  wrong(node: Node, at: string, wanted: string): never {
    const source = this.text.slice(node.offset, node.offset + node.length).replace(/\s+/g, ' ')
    return this.fail(node, at, `is ${source.length > 60 ? `${source.slice(0, 60)}…` : source}; it must be ${wanted}`)
  }

  string: Check = (node, at) => {
    if (node.type !== 'string' || node.value.trim() === '') this.wrong(node, at, 'a string that is not empty')
  }

  strings: Check = (node, at) => this.list(node, at, 'strings', this.string)

  oneOf(node: Node, at: string, known: readonly string[]): void {
    if (!known.includes(node.value)) this.wrong(node, at, `one of ${known.join(', ')}${suggestion(String(node.value), known)}`)
  }

  /** A list with at least one item. `of` says of what, in messages. */
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
}

function suggestion(word: string, known: readonly string[]): string {
  const meant = nearest(word, known)
  return meant === undefined ? '' : ` (did you mean ${meant}?)`
}
