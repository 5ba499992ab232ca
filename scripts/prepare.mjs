// npm runs this after `npm install` in a checkout: compiles the TypeScript of all packages, bundles the server's page, then builds the add-on. Nothing of it runs where
// clip-es is installed as a dependency.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildPage } from '../server/page/build.mjs'
import { ensureAddon } from './build_addon.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const tsc = join(root, 'node_modules/typescript/bin/tsc')

function fail(message) {
  console.error(`clip-es: ${message}`)
  process.exit(1)
}

if (!existsSync(tsc)) fail('this checkout has no TypeScript compiler: run npm install without --omit=dev')
for (const project of ['tsconfig.json', 'server/tsconfig.json', 'cli/tsconfig.json']) {
  const { status } = spawnSync(process.execPath, [tsc, '-p', project], { cwd: root, stdio: 'inherit' })
  if (status !== 0) fail(`the TypeScript of ${project} does not compile`)
}
await buildPage().catch((error) => fail(error.message))
await ensureAddon().catch((error) => fail(error.message))
