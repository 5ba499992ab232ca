// node scripts/build_native.mjs [TARGET…]: builds the C++ tests and benchmarks, which do not need Node.js, in build-native/. Warnings are
// errors. If it fails, the last line says why.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'))

function fail(reason) {
  console.error(reason)
  process.exit(1)
}

const targets = process.argv.slice(2).flatMap((target) => ['--target', target])
const isNew = !existsSync('build-native/CMakeCache.txt')
const generator = isNew && spawnSync('ninja', ['--version']).error === undefined ? ['-G', 'Ninja'] : []
const configure = '--log-level=WARNING -S . -B build-native -DCLIP_ES_WERROR=ON'.split(' ')

for (const [failure, args] of [
  [
    'CMake cannot configure build-native; delete the folder if it is old',
    [...configure, ...generator, `-DCLIP_ES_LIBTORCH=${process.env.CLIP_ES_LIBTORCH ?? ''}`],
  ],
  ['build-native does not compile', ['--build', 'build-native', '--parallel', ...targets]],
]) {
  const { status, error } = spawnSync('cmake', args, { stdio: 'inherit' })
  if (status !== 0) fail(`${failure} (${error?.message ?? `exit status ${status}`})`)
}
