// npm test [-- SUITE…], npm test -- --except SUITE…: runs test suites, each file in its own process, and prints `N passed, N failed, N skipped` as the last line.
// Installs nothing, except the Node.js versions of the suites node-versions and platforms, in temporary folders. Compiles what is older than its
// sources: dist/, the add-on, the C++ tests in build-native/, and the training program in build-train/.
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildPage } from '../server/page/build.mjs'
import { ensureAddon } from './build_addon.mjs'
import { add, failure, none, notes } from './test/counts.mjs'
import { runCppTests } from './test/cpp.mjs'
import { runNodeVersions } from './test/node_versions.mjs'
import { runPlatforms } from './test/platforms.mjs'
import { runNode } from './test/process.mjs'
import { runTrainTests } from './test/train.mjs'
import { checkTypes, tsc } from './test/types.mjs'
import { runUvuFile, testFiles, uvuSuite } from './test/uvu.mjs'

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'))
const secondLibTorch = 'test/e2e/second_libtorch.ts'
const workers = Math.min(availableParallelism(), 3) // these tests mostly wait for processes to start

const suites = {
  unit: uvuSuite(testFiles('test/unit'), { workers, imports: ['./test/unit/refuse_addon.mjs'] }),
  integration: { ...uvuSuite(testFiles('test/integration'), { workers }), needsAddon: true },
  types: { exists: true, run: checkTypes },
  cpp: { exists: existsSync('test/cpp/main.cpp'), run: runCppTests },
  golden: { ...uvuSuite(testFiles('test/golden')), needsAddon: true },
  server: { ...uvuSuite(testFiles('test/server'), { workers }), needsAddon: true },
  train: { exists: true, run: runTrainTests }, // before e2e, which uses its program
  e2e: { ...uvuSuite(testFiles('test/e2e'), { workers }), needsAddon: true },
  machines: { ...uvuSuite(testFiles('test/machines'), { workers: 4 }), needsAddon: true }, // they mostly wait: for leases, for stalled jobs
  package: { ...uvuSuite(testFiles('test/package')), needsAddon: true }, // one worker: they build in the checkout
  'node-versions': { exists: true, run: runNodeVersions, needsAddon: true },
  platforms: { exists: true, run: runPlatforms },
  second: { exists: existsSync(secondLibTorch), run: () => runUvuFile(secondLibTorch), needsAddon: true },
  stress: { ...uvuSuite(testFiles('test/stress')), needsAddon: true },
}

/** Compiles the TypeScript, and the add-on if a suite needs it. A failure is counted, and the suites still run. */
async function build(needsAddon) {
  let counts = none
  for (const project of ['tsconfig.json', 'server/tsconfig.json', 'server/page/tsconfig.json', 'cli/tsconfig.json']) {
    const { status, ending } = await runNode([tsc, '-p', project])
    if (status !== 0) counts = add(counts, failure(`the TypeScript of ${project} does not compile (${ending})`))
  }
  await buildPage().catch((error) => {
    counts = add(counts, failure(`the page cannot be bundled: ${error.message}`))
  })
  if (!needsAddon || !existsSync('dist/index.js')) return counts
  try {
    await ensureAddon()
    return counts
  } catch (error) {
    console.error(error.message)
    return add(counts, failure(`there is no add-on to test: ${error.message.split('\n')[0]}`))
  }
}

function chooseSuites(args) {
  const isExcept = args[0] === '--except'
  const names = isExcept ? args.slice(1) : args
  const unknown = names.find((name) => !(name in suites))
  if (unknown !== undefined) {
    console.error(`There is no suite '${unknown}'; choose from ${Object.keys(suites).join(', ')}`)
    process.exit(2)
  }
  const chosen = isExcept || !names.length ? Object.keys(suites).filter((name) => !names.includes(name)) : names
  return chosen.filter((name) => suites[name].exists)
}

/** The processor seconds of this process and of its children that have ended; undefined on systems without /proc. */
function cpuSeconds() {
  if (!existsSync('/proc/self/stat')) return undefined
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / 100 // see proc(5): utime, stime, cutime, cstime
}

async function measure(name, work) {
  const [start, cpuStart] = [performance.now(), cpuSeconds()]
  const counts = await work().catch((error) => failure(`${name}: ${error.message}`))
  const [seconds, cpu] = [(performance.now() - start) / 1000, cpuSeconds() - cpuStart]
  return { name, counts, seconds: seconds.toFixed(1), cpu: cpu >= 0 ? cpu.toFixed(1) : '-' }
}

function printSummary(results) {
  const row = (name, ...cells) => console.log(name.padEnd(13) + cells.map((cell) => String(cell).padStart(9)).join(''))
  console.log()
  row('suite', 'passed', 'failed', 'skipped', 'seconds', 'CPU')
  for (const { name, counts, seconds, cpu } of results) row(name, counts.passed, counts.failed, counts.skipped, seconds, cpu)
  for (const note of new Set(notes)) console.log(note)
  const sum = results.map(({ counts }) => counts).reduce(add, none)
  console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`)
  process.exitCode = sum.failed ? 1 : 0
}

const chosen = chooseSuites(process.argv.slice(2))
const results = [await measure('build', () => build(chosen.some((name) => suites[name].needsAddon)))]
for (const name of chosen) results.push(await measure(name, suites[name].run))
printSummary(results)
