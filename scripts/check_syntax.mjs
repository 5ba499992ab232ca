// node scripts/check_syntax.mjs BUILD, or TARGET such as darwin-arm64: lets a compiler read every source of a build once, without compiling it,
// as many at a time as there are cores. BUILD was configured with -DCMAKE_EXPORT_COMPILE_COMMANDS=ON; for a target, which is one of
// npm run prebuild:all, zig's compiler reads the engine. Fails if a source has an error, or a warning if these are errors.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nameOf, targets } from './prebuild/targets.mjs'
import { configureWithZig } from './prebuild/zig.mjs'

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'))

const target = targets.find((one) => nameOf(one) === process.argv[2])
const build = target ? configureWithZig(target, 'syntax', ['-DCMAKE_EXPORT_COMPILE_COMMANDS=ON']) : process.argv[2]
const entries = JSON.parse(readFileSync(join(build, 'compile_commands.json'), 'utf8'))
/** The kernels are compiled once for each CPU level. */
const sources = [...new Map(entries.map((entry) => [entry.file, entry])).values()]

function read({ command, directory }) {
  const child = spawn(`${command} -fsyntax-only`, { cwd: directory, shell: true, stdio: 'inherit' })
  return new Promise((resolve) => child.on('close', (status) => resolve(status === 0)))
}

let failed = 0
const left = [...sources]
async function readAll() {
  for (let entry = left.shift(); entry; entry = left.shift()) if (!(await read(entry))) failed++
}
await Promise.all(Array.from({ length: availableParallelism() }, readAll))
console.log(`${sources.length} sources read, ${failed} with errors`)
process.exitCode = failed || !sources.length ? 1 : 0
