// Checks the types of the tests by tsc, and the public types by tsd.
import { existsSync, readdirSync } from 'node:fs'
import { add, countProgram } from './counts.mjs'
import { runNode } from './process.mjs'

export const tsc = 'node_modules/typescript/bin/tsc'
const tsd = 'node_modules/tsd/dist/cli.js'

export async function checkTypes() {
  console.log('\ntypes')
  const compiled = countProgram('tsc -p tsconfig.test.json', await runNode([tsc, '-p', 'tsconfig.test.json']))
  const files = existsSync('test/types') ? readdirSync('test/types').filter((name) => name.endsWith('.test-d.ts')) : []
  if (!files.length) return compiled
  const chosen = files.flatMap((name) => ['--files', `test/types/${name}`])
  return add(compiled, countProgram('tsd', await runNode([tsd, '--typings', 'dist/index.d.ts', ...chosen])))
}
