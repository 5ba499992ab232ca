// npm run prebuildify: packs the add-on into prebuilds/<platform>-<arch>/, where node-gyp-build finds it.
// Release files belong on an old base (glibc 2.28, as manylinux): what is built on a newer one asks for its glibc.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
if (!existsSync(join(root, 'dist/index.js'))) {
  console.error('There is no dist/ yet: run npm run build:ts')
  process.exit(1)
}
const prebuildify = createRequire(import.meta.url).resolve('prebuildify/bin.js')
const shim = join(root, 'scripts/cmake_js_for_prebuildify.mjs')
const { status } = spawnSync(process.execPath, [prebuildify, '--napi', '--strip', '--tag-libc', '--node-gyp', shim], {
  cwd: root,
  stdio: 'inherit',
})
process.exit(status ?? 1)
