// npm run bench:crf [-- OPTIONS]: builds clip_es_crf_bench in build-native/ and runs it. docs/internals/crf.md describes what it measures.
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'))

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' })
  if (error) console.error(`${command}: ${error.message}`)
  if (status !== 0) process.exit(status ?? 1)
}

run('cmake', ['--log-level=WARNING', '-S', '.', '-B', 'build-native'])
run('cmake', ['--build', 'build-native', '--parallel', '--target', 'clip_es_crf_bench'])
run('build-native/clip_es_crf_bench', process.argv.slice(2))
