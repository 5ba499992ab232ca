#!/usr/bin/env node
// prebuildify runs this instead of node-gyp, in the target's folder below build-prebuild/: builds the add-on for the platform
// $PREBUILD_PLATFORM and $PREBUILD_ARCH by CMake and zig, as build/Release/clip_es.node.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { nameOf, root, targets } from './targets.mjs'
import { zigTools } from './zig.mjs'

const require = createRequire(import.meta.url)
const { PREBUILD_PLATFORM: platform, PREBUILD_ARCH: arch } = process.env
const target = targets.find((one) => one.platform === platform && one.arch === arch)
if (!target) throw new Error(`there is no target ${platform}-${arch}: choose from ${targets.map(nameOf).join(', ')}`)

const build = join(process.cwd(), 'build')
const release = join(build, 'Release')
const headers = require('node-api-headers')
const includes = [headers.include_dir, dirname(require.resolve('node-addon-api/napi.h'))]

function cmake(args) {
  const { status, error } = spawnSync('cmake', args, { stdio: 'inherit' })
  if (status !== 0)
    throw new Error(`cmake ${args[0]} failed for ${nameOf(target)} (${error?.message ?? `exit status ${status}`})`)
}

cmake([
  '--log-level=WARNING',
  ...['-S', root, '-B', build, '-G', 'Ninja'],
  '-DCLIP_ES_CUDA=OFF',
  '-DCLIP_ES_UNITY=ON',
  `-DCMAKE_JS_INC=${includes.join(';')}`,
  `-DCLIP_ES_NODE_API_DEFS=${dirname(headers.def_paths.node_api_def)}`,
  `-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=${release}`, // of .so and .dylib
  `-DCMAKE_RUNTIME_OUTPUT_DIRECTORY=${release}`, // of .dll
  ...zigTools(target, join(process.cwd(), 'tools')),
])
cmake(['--build', build, '--target', 'clip_es'])
