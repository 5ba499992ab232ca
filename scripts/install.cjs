// npm's install script. In a checkout it compiles the TypeScript; then, as in an installed package, it builds the add-on if needed. It fetches
// nothing.
const { spawnSync } = require('node:child_process')
const { existsSync } = require('node:fs')
const { join } = require('node:path')

const root = join(__dirname, '..')
const isCheckout = existsSync(join(root, 'ts'))

function run(script, args) {
  const { status, signal } = spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit' })
  return signal === 'SIGINT' ? 130 : (status ?? 1)
}

function compile() {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  if (existsSync(tsc)) return run(tsc, ['-p', 'tsconfig.json'])
  if (existsSync(join(root, 'dist/cli/main.js'))) return 0
  console.error('clip-es: this checkout has no dist/ and no TypeScript to make it: run npm install with the devDependencies')
  return 1
}

const status = (isCheckout && compile()) || run(join(root, 'dist/cli/main.js'), ['setup'])
// A failure must not undo the installation of a whole project. Loading a model then names the same remedy.
if (status && status !== 130 && !isCheckout) {
  console.error('clip-es: installed, but the add-on could not be built. Remove the cause above, then run npx clip-es setup')
  process.exit(0)
}
process.exit(status)
