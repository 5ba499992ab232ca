// The text of the package's public types, as TypeScript emitted them to dist/, without comments: what its users can write.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

interface Declaration {
  name: string
  text: string
}

/** A file's top-level declarations, and which names it imports or re-exports from where. */
interface Module {
  declarations: Declaration[]
  imports: Map<string, string>
  exports: Map<string, string>
}

const withoutComments = (text: string): string => text.replace(/^\s*\/\*\*[\s\S]*?\*\/\n/gm, '').replace(/^\s*\/\/.*\n/gm, '')

/** Statements at the top level. TypeScript begins only those at the start of a line, and ends their last line with ; or }. */
function statementsOf(text: string): string[] {
  const statements: string[] = []
  for (const line of withoutComments(text).split('\n')) {
    if (/^(export|import|declare|interface|type)\b/.test(line)) statements.push(line)
    else if (line !== '') statements[statements.length - 1] += `\n${line}`
  }
  return statements
}

function readModule(file: string): Module {
  const found: Module = { declarations: [], imports: new Map(), exports: new Map() }
  for (const statement of statementsOf(readFileSync(file, 'utf8'))) {
    const list = /^(import|export) (?:type )?\{([\s\S]*)\} from '(.+?)(?:\.js)?';$/.exec(statement)
    const name = /^(?:export )?(?:declare )?(?:class|function|const|interface|type) (\w+)/.exec(statement)?.[1]
    if (list) {
      const [, kind, names = '', from = ''] = list
      if (!from.startsWith('.')) continue // a type of Node.js
      const target = join(dirname(file), `${from}.d.ts`)
      for (const one of names.split(',')) {
        const plain = one.trim().replace(/^type /, '')
        if (plain) found[kind === 'import' ? 'imports' : 'exports'].set(plain, target)
      }
    } else if (name !== undefined) found.declarations.push({ name, text: statement })
    else if (!/^export \{\};$/.test(statement)) throw new Error(`${file}: what is this? ${statement}`)
  }
  return found
}

/** The public declarations in the order of their names, and the names of types that they use but the package does not export. */
export function apiText(entry: string): { text: string; missing: string[] } {
  const { exports } = readModule(entry)
  const modules = new Map<string, Module>()
  const moduleOf = (file: string): Module => {
    const known = modules.get(file) ?? readModule(file)
    modules.set(file, known)
    return known
  }
  const texts: string[] = []
  const missing = new Set<string>()
  for (const name of [...exports.keys()].sort()) {
    const { declarations, imports } = moduleOf(exports.get(name) as string)
    const own = declarations.filter((declaration) => declaration.name === name)
    if (!own.length) throw new Error(`${exports.get(name)} does not declare ${name}`)
    texts.push(...own.map(({ text }) => text))
    const local = new Set([...declarations.map((declaration) => declaration.name), ...imports.keys()])
    const used = own.flatMap(({ text }) => text.match(/\w+/g) ?? [])
    for (const word of used) if (local.has(word) && !exports.has(word)) missing.add(word)
  }
  return { text: `${texts.join('\n\n')}\n`, missing: [...missing] }
}
