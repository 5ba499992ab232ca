#!/usr/bin/env node
// prebuildify's --node-gyp: it asks for `node-gyp rebuild --target=… --arch=… --release`; the answer is this package's own
// build by cmake-js. Node-API makes the target not matter, and only this machine's architecture can be built.
import { rmSync } from 'node:fs'
import { arch } from 'node:os'
import { ensureAddon } from './build_addon.mjs'

const wanted = process.argv.find((argument) => argument.startsWith('--arch='))?.slice('--arch='.length) ?? arch()
if (wanted !== arch()) {
  console.error(`This machine builds for ${arch()}, not for ${wanted}: run prebuildify on a ${wanted} machine`)
  process.exit(1)
}
rmSync('build', { recursive: true, force: true })
await ensureAddon()
