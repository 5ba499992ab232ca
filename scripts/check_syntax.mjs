// node scripts/check_syntax.mjs BUILD, or TARGET such as darwin-arm64: lets a compiler read every source of a build once, as many at a time
// as there are cores. BUILD was configured with -DCMAKE_EXPORT_COMPILE_COMMANDS=ON; for a target, which is one of npm run prebuild:all, zig's
// compiler reads the engine. Precompiled headers of the build are compiled first. Fails if a source has an error, or a warning if these are errors.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nameOf, targets } from './prebuild/targets.mjs'
import { configureWithZig } from './prebuild/zig.mjs'

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'))

const target = targets.find((one) => nameOf(one) === process.argv[2])
const build = target ? configureWithZig(target, 'syntax', ['-DCMAKE_EXPORT_COMPILE_COMMANDS=ON']) : process.argv[2]
const entries = JSON.parse(readFileSync(join(build, 'compile_commands.json'), 'utf8'))
/** Tests and benchmarks, which do not run on a target. */
const isOfTests = (file) =>
  /^(test|bench|binding)\/|\/clip_es_(test|estimate|reference)\.dir\//.test(relative(process.cwd(), file))
/** A source that is compiled for several CPU levels is read once. */
const sources = [...new Map(entries.map((entry) => [entry.file, entry])).values()].filter(
  ({ file }) => !target || !isOfTests(file),
)

const temporary = mkdtempSync(join(tmpdir(), 'clip-es-syntax-'))

const isPrecompiled = ({ file }) => file.endsWith('/cmake_pch.hxx.cxx')

/** zig always compiles: it has no -fsyntax-only. */
function read(entry) {
  const { command, directory } = entry
  const compiled = `-O0 -o ${join(temporary, String(sources.indexOf(entry)))}.o`
  const options = isPrecompiled(entry) ? '' : target ? compiled : '-fsyntax-only'
  const child = spawn(`${command} ${options}`, { cwd: directory, shell: true, stdio: 'inherit' })
  return new Promise((resolve) => child.on('close', (status) => resolve(status === 0)))
}

let failed = 0
async function readAll(entries) {
  const left = [...entries]
  const work = async () => {
    for (let entry = left.shift(); entry; entry = left.shift()) if (!(await read(entry))) failed++
  }
  await Promise.all(Array.from({ length: availableParallelism() }, work))
}
await readAll(sources.filter(isPrecompiled))
await readAll(sources.filter((entry) => !isPrecompiled(entry)))
rmSync(temporary, { recursive: true })
console.log(`${sources.length} sources read, ${failed} with errors`)
process.exitCode = failed || !sources.length ? 1 : 0
