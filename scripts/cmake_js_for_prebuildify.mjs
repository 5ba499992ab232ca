#!/usr/bin/env node
// prebuildify runs this instead of node-gyp, as `node-gyp rebuild --target=… --arch=… --release`. It builds the add-on by cmake-js. The
// target has no effect, because an add-on that uses Node-API works with every version of Node.js.
import { rmSync } from 'node:fs'
import { arch } from 'node:os'
import { ensureAddon } from './build_addon.mjs'

const wanted = process.argv.find((argument) => argument.startsWith('--arch='))?.slice('--arch='.length) ?? arch()
if (wanted !== arch()) {
  console.error(`--arch is ${wanted}, but this machine can only build for ${arch()}: run prebuildify on a ${wanted} machine`)
  process.exit(1)
}
rmSync('build', { recursive: true, force: true })
await ensureAddon()
