// npm run prebuildify: builds the add-on and copies it to prebuilds/<platform>-<arch>/, where node-gyp-build finds it. The add-on needs a
// glibc that has the symbols of the one that it was built with, so build releases on an old system (glibc 2.28, as manylinux).
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
if (!existsSync(join(root, 'dist/index.js'))) {
  console.error('dist/index.js is missing: run npm run build:ts')
  process.exit(1)
}
const prebuildify = createRequire(import.meta.url).resolve('prebuildify/bin.js')
const nodeGyp = join(root, 'scripts/cmake_js_for_prebuildify.mjs')
const { status } = spawnSync(process.execPath, [prebuildify, '--napi', '--strip', '--tag-libc', '--node-gyp', nodeGyp], {
  cwd: root,
  stdio: 'inherit',
})
process.exit(status ?? 1)
