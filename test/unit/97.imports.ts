// Imports between the folders of ts/ and of cli/src point one way, so that each folder can be understood without those that use it.
// `dataset`, `queue` and `worker` of the command count as one folder: they are the two ends of one work, and know each other's photos and options.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, sep } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from './support.js'

/** Folder by folder, the other folders that its files import, with one file that does. Files directly below `base` count as one folder. */
type FolderImports = Map<string, Map<string, string>>

const ends = ['dataset', 'queue', 'worker']

function folderOf(file: string): string {
  const folder = dirname(file).split(sep)[0] as string
  if (folder === '.') return 'the root'
  return ends.includes(folder) ? ends.join(', ') : folder
}

function folderImports(base: string): FolderImports {
  const found: FolderImports = new Map()
  const files = readdirSync(base, { recursive: true, encoding: 'utf8' }).filter((file) => /\.m?ts$/.test(file))
  for (const file of files)
    for (const [, imported] of readFileSync(join(base, file), 'utf8').matchAll(/(?:from|import) ?\(?'(\.[^']+)'/g)) {
      const [from, to] = [folderOf(file), folderOf(normalize(join(dirname(file), imported as string)))]
      if (!found.has(from)) found.set(from, new Map())
      if (from !== to) found.get(from)?.set(to, file)
    }
  return found
}

/** The folders of a cycle, the first one again at the end; undefined if there is none. */
function findCycle(imports: FolderImports): string[] | undefined {
  const done = new Set<string>()
  const visit = (folder: string, path: string[]): string[] | undefined => {
    if (path.includes(folder)) return [...path.slice(path.indexOf(folder)), folder]
    if (done.has(folder)) return undefined
    for (const next of imports.get(folder)?.keys() ?? []) {
      const cycle = visit(next, [...path, folder])
      if (cycle) return cycle
    }
    done.add(folder)
    return undefined
  }
  for (const folder of imports.keys()) {
    const cycle = visit(folder, [])
    if (cycle) return cycle
  }
  return undefined
}

for (const base of ['ts', 'cli/src'])
  test(`the folders of ${base} do not import each other in a cycle`, () => {
    const imports = folderImports(join(root, base))
    assert.ok(
      [...imports.values()].some((others) => others.size > 3),
      'imports were found',
    )
    const cycle = findCycle(imports)
    const edges = cycle?.slice(1).map((to, i) => {
      const from = cycle[i] as string
      return `${imports.get(from)?.get(to)} imports from ${to}`
    })
    assert.is(edges?.join('; '), undefined)
  })

test('a cycle of any length is found', () => {
  const graph = (edges: Record<string, string[]>): FolderImports =>
    new Map(Object.entries(edges).map(([from, to]) => [from, new Map(to.map((name) => [name, `${from}/x.ts`]))]))
  assert.is(findCycle(graph({ a: ['b', 'c'], b: ['c'], c: [] })), undefined)
  assert.equal(findCycle(graph({ a: ['b'], b: ['a'] })), ['a', 'b', 'a'])
  assert.equal(findCycle(graph({ a: ['b'], b: ['c'], c: ['d'], d: ['b'] })), ['b', 'c', 'd', 'b'])
})

test.run()
