// Builds and runs the C++ tests, which need neither Node.js nor cmake-js. Without a LibTorch some of them are skipped.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { add, countProgram, countTests, failure, none } from './counts.mjs'
import { run, runNode } from './process.mjs'

const program = 'build-native/clip_es_test'

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

function libtorchOption() {
  const folder = createRequire(import.meta.url)('../../dist/libtorch/find.js').installedLibTorch()?.folder
  return folder ? ['--libtorch', folder] : []
}

async function runTests(args, options = {}) {
  const result = await run(program, args, options)
  if (options.quiet) console.log(result.output)
  const totals = [...result.output.matchAll(/^C\+\+ tests: (\d+) passed, (\d+) failed, (\d+) skipped$/gm)].at(-1) ?? []
  const [passed, failed, skipped] = totals.slice(1).map(Number)
  return countTests('clip_es_test', result, { total: passed + failed, passed, skipped })
}

/** docs/kernels.md shows the output of the command that it names. */
async function checkEstimate() {
  const page = readFileSync('docs/kernels.md', 'utf8')
  const [, options] = /`clip_es_bench (--device cuda --estimate [^`]*)` prints:/.exec(page)
  const result = await run('build-native/clip_es_bench', options.split(' '), { quiet: true })
  const isShown = page.includes(result.output.trim().replace(/^(?=.)/gm, '    '))
  const name = 'the estimate in docs/kernels.md'
  if (result.status === 0 && !isShown) console.log(`${name} is not that of clip_es_bench ${options}:\n${result.output}`)
  return countProgram(name, isShown ? result : { status: 1, ending: 'it is not what the command prints' })
}

export async function runCppTests() {
  console.log('\nC++ tests')
  const built = await runNode(['scripts/build_native.mjs'])
  if (built.status !== 0) return failure(built.output.trim().split('\n').at(-1))
  const libtorch = libtorchOption()
  // The emulated GPU uses one thread, so its tests run at the same time as the others.
  const counts = await Promise.all([
    runTests([...libtorch, '--only', 'CUDA:'], { quiet: true }),
    runTests([...libtorch, '--except', 'CUDA:']),
  ])
  // The results must be right at every CPU level, not only at the one that this CPU uses by default.
  const levels = (await run(program, ['--cpu-levels'], { quiet: true })).output.trim().split('\n')
  for (const level of levels.slice(1)) {
    console.log(`\nC++ tests, CLIP_ES_CPU=${level}`)
    const env = { CLIP_ES_CPU: level, CLIP_ES_GOLDEN_FULL: undefined }
    const chosen = levelTests.flatMap((name) => ['--only', name])
    counts.push(await runTests([...libtorch, ...chosen, '--except', 'CUDA:'], { env }))
  }
  counts.push(await checkEstimate())
  return counts.reduce(add, none)
}
