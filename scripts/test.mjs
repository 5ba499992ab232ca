// npm test [-- SUITE…]: runs the suites that exist, each file in a process of its own, and ends with `N passed, N failed, N skipped`.
// Installs nothing. It compiles what is older than its sources: dist/, the add-on, and the C++ tests in build-native/.
import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
process.chdir(root)
const require = createRequire(import.meta.url)
const timeLimit = 20 * 60_000 // milliseconds for one process: a test that hangs is a failure
const secondLibTorch = 'test/e2e/second_libtorch.ts'

/** Runs a program and returns its output, which `show` is given as it comes. */
function run(command, args, show = (to, chunk) => to.write(chunk)) {
  return new Promise((done) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: timeLimit, killSignal: 'SIGKILL' })
    let output = ''
    for (const [from, to] of [
      [child.stdout, process.stdout],
      [child.stderr, process.stderr],
    ]) {
      from.on('data', (chunk) => {
        output += chunk
        show(to, chunk)
      })
    }
    child.on('error', (error) => done({ status: null, how: error.message, output }))
    child.on('close', (status, signal) => {
      done({ status, how: signal ? `ended by ${signal}` : `exit status ${status}`, output: stripVTControlCharacters(output) })
    })
  })
}

const node = (...args) => run(process.execPath, args)
const quietly = (...args) => run(process.execPath, args, () => {})
const nothing = { passed: 0, failed: 0, skipped: 0 }
const add = (a, b) => ({ passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped })
const notes = [] // said again under the table

function failed(what) {
  notes.push(`failed: ${what}`)
  return { ...nothing, failed: 1 }
}

const lastNumber = (output, pattern) => Number([...output.matchAll(pattern)].at(-1)?.[1] ?? Number.NaN)

/** What a test program counted. One that crashed after counting, or counted nothing, is a failure more. */
function judge(name, { status, how, output }, { total, passed, skipped }) {
  const reasons = [...output.matchAll(/^[\s•✘]*(.*\bskipped: .+)$/gm)].map(([, reason]) => reason)
  notes.push(...reasons)
  if (Number.isNaN(total)) return failed(`${name} gave no total (${how})`)
  if (skipped && !reasons.length) notes.push(`skipped: ${skipped} in ${name}, without a reason`)
  const counted = { passed, failed: total - passed, skipped }
  if (counted.failed) notes.push(`failed: ${counted.failed} in ${name}`)
  if (!total && !skipped) return failed(`${name} has no tests`)
  return status === 0 || counted.failed ? counted : add(counted, failed(`${name} passed its tests, but: ${how}`))
}

/** A file of uvu tests; tsx compiles it on the way. Beside others, its output is shown when it has ended. */
async function uvu(file, beside = false) {
  if (!beside) console.log(`\n${file}`)
  const result = await (beside ? quietly : node)('--import', 'tsx', file)
  if (beside) console.log(`\n${file}\n${result.output}`)
  const number = (word) => lastNumber(result.output, new RegExp(`^\\s*${word}:\\s+(\\d+)`, 'gm'))
  return judge(file, result, { total: number('Total'), passed: number('Passed'), skipped: number('Skipped') })
}

/** Test files have a number, as 10.load.ts; what they share has none. */
function testFiles(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => /^\d+\..*\.ts$/.test(name))
    .sort()
    .map((name) => `${folder}/${name}`)
}

/** Most of a test is waiting for programs to start: `atOnce` files run at a time. */
const uvuSuite = (files, atOnce = 1) => ({
  exists: files.length > 0,
  async run() {
    let sum = nothing
    const left = [...files]
    const workers = Array.from({ length: atOnce }, async () => {
      for (let file = left.shift(); file; file = left.shift()) {
        const counted = await uvu(file, atOnce > 1)
        sum = add(sum, counted)
      }
    })
    await Promise.all(workers)
    return sum
  },
})
const several = Math.min(availableParallelism(), 3)

const tsc = 'node_modules/typescript/bin/tsc'
const tsd = 'node_modules/tsd/dist/cli.js'

async function step(what, result) {
  const { status, how } = await result
  if (status === 0) return { ...nothing, passed: 1 }
  return failed(`${what} (${how})`)
}

async function types() {
  console.log('\ntypes')
  const compiled = await step('tsc -p tsconfig.test.json', node(tsc, '-p', 'tsconfig.test.json'))
  const files = existsSync('test/types') ? readdirSync('test/types').filter((name) => name.endsWith('.test-d.ts')) : []
  if (!files.length) return compiled
  const chosen = files.flatMap((name) => ['--files', `test/types/${name}`])
  return add(compiled, await step('tsd', node(tsd, '--typings', 'dist/index.d.ts', ...chosen)))
}

/** The files of C++ tests whose results depend on the CPU level. */
const levelTests = [
  'ops',
  'linear',
  'matmul',
  'attention',
  'softmax_gradcam',
  'box_mask',
  'attention_affinity',
  'mask',
  'crf',
  'crf_position',
  'crf_mask',
  'resize',
  'golden',
  'golden_segmenter',
].map((name) => `${name}_test.cpp`)

/** The C++ tests need neither Node nor cmake-js. Without a LibTorch some of them are skipped. */
async function cpp() {
  console.log('\nC++ tests')
  const built = await node('scripts/build_native.mjs')
  if (built.status !== 0) return failed(built.output.trim().split('\n').at(-1))
  const folder = require('../dist/setup/find.js').installedLibTorch()?.folder
  const libtorch = folder ? ['--libtorch', folder] : []
  const part = async (runner, args) => {
    const result = await runner('build-native/clip_es_test', [...libtorch, ...args])
    if (runner !== run) console.log(result.output)
    const [, passed, failed, skipped] =
      [...result.output.matchAll(/^C\+\+ tests: (\d+) passed, (\d+) failed, (\d+) skipped$/gm)].at(-1) ?? []
    return judge('clip_es_test', result, {
      total: Number(passed) + Number(failed),
      passed: Number(passed),
      skipped: Number(skipped),
    })
  }
  const unseen = (command, args) => run(command, args, () => {})
  // The emulated GPU uses one thread, so it runs at the same time as the rest. Its output is shown at its end.
  const counted = await Promise.all([part(unseen, ['--only', 'CUDA:']), part(run, ['--except', 'CUDA:'])])
  // The numbers must be right at every CPU level, not only at the one that this CPU chooses.
  const [, ...others] = (await run('build-native/clip_es_test', ['--cpu-levels'], () => {})).output.trim().split('\n')
  for (const level of others) {
    console.log(`\nC++ tests, CLIP_ES_CPU=${level}`)
    const atLevel = (command, args) => run('env', ['-u', 'CLIP_ES_GOLDEN_FULL', `CLIP_ES_CPU=${level}`, command, ...args])
    counted.push(await part(atLevel, [...levelTests.flatMap((name) => ['--only', name]), '--except', 'CUDA:']))
  }
  return counted.reduce(add, nothing)
}

/** Makes dist/ and the add-on as new as their sources. A failure is counted, and what can run still runs. */
async function build(needsAddon) {
  const compiled = await node(tsc, '-p', 'tsconfig.json')
  const counted = compiled.status === 0 ? nothing : failed(`the TypeScript does not compile (${compiled.how})`)
  if (!needsAddon || !existsSync('dist/setup/addon.js')) return counted
  try {
    await require('../dist/setup/addon.js').ensureAddon({ say: console.log })
    return counted
  } catch (error) {
    console.error(error.message)
    return add(counted, failed(`no add-on to test: ${error.message.split('\n')[0]}`))
  }
}

const suites = {
  unit: { ...uvuSuite(testFiles('test/unit'), several), needsAddon: true },
  types: { exists: true, run: types },
  cpp: { exists: existsSync('test/cpp/main.cpp'), run: cpp },
  golden: { ...uvuSuite(testFiles('test/golden')), needsAddon: true },
  e2e: { ...uvuSuite(testFiles('test/e2e'), several), needsAddon: true },
  package: { ...uvuSuite(testFiles('test/package')), needsAddon: true }, // in turn: they build in the checkout
  second: { exists: existsSync(secondLibTorch), run: () => uvu(secondLibTorch), needsAddon: true },
  stress: { ...uvuSuite(testFiles('test/stress')), needsAddon: true },
}

const asked = process.argv.slice(2)
const unknown = asked.find((name) => !(name in suites))
if (unknown !== undefined) {
  console.error(`There is no suite ${unknown}; there are ${Object.keys(suites).join(', ')}`)
  process.exit(2)
}
const chosen = (asked.length ? asked : Object.keys(suites)).filter((name) => suites[name].exists)
const row = (...cells) => console.log(cells.map((cell, i) => (i ? String(cell).padStart(9) : cell.padEnd(9))).join(''))

const results = []
async function timed(name, work) {
  const start = performance.now()
  const counted = await work().catch((error) => failed(`${name}: ${error.message}`))
  results.push({ name, counted, seconds: ((performance.now() - start) / 1000).toFixed(1) })
}

await timed('build', () => build(chosen.some((name) => suites[name].needsAddon)))
for (const name of chosen) await timed(name, suites[name].run)

console.log()
row('suite', 'passed', 'failed', 'skipped', 'seconds')
for (const { name, counted, seconds } of results) row(name, counted.passed, counted.failed, counted.skipped, seconds)
for (const note of new Set(notes)) console.log(note)
const sum = results.map(({ counted }) => counted).reduce(add, nothing)
console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`)
process.exitCode = sum.failed ? 1 : 0
