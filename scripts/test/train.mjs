// Builds the training program in build-train/, and runs its tests: those in C++, and those that run the program itself. Skipped without a
// LibTorch with headers, libjpeg or libpng.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { add, countTests, failure, skip } from './counts.mjs'
import { run } from './process.mjs'
import { testFiles, uvuSuite } from './uvu.mjs'

const folder = 'build-train'
const header = 'include/torch/csrc/api/include/torch/torch.h'

function libtorchWithHeaders() {
  const found =
    process.env.CLIP_ES_LIBTORCH ?? createRequire(import.meta.url)('../../dist/libtorch/find.js').installedLibTorch()?.folder
  return found && existsSync(join(found, header)) ? resolve(found) : undefined
}

/** Returns the counts of what went wrong, or nothing. */
async function build(libtorch) {
  const generator = (await run('ninja', ['--version'], { quiet: true })).status === 0 ? ['-G', 'Ninja'] : []
  const options = [`-DCLIP_ES_LIBTORCH=${libtorch}`, '-DCLIP_ES_TRAIN_TESTS=ON', '-DCLIP_ES_WERROR=ON']
  const configured = await run('cmake', ['-S', 'cpp/train', '-B', folder, ...options, ...(existsSync(folder) ? [] : generator)], {
    quiet: true,
  })
  const missing = configured.output.match(/Could NOT find (JPEG|PNG)/)?.[1]
  if (missing)
    return skip(1, `the training program needs lib${missing.toLowerCase()} (Debian: apt-get install libjpeg-dev libpng-dev)`)
  const built = configured.status === 0 ? await run('cmake', ['--build', folder, '--parallel']) : configured
  if (built.status === 0) return undefined
  console.log(built.output)
  return failure(`the training program does not compile (${built.ending})`)
}

async function runCppTests() {
  const result = await run(`${folder}/clip_es_train_test`, [])
  const totals = [...result.output.matchAll(/^C\+\+ tests: (\d+) passed, (\d+) failed, (\d+) skipped$/gm)].at(-1) ?? []
  const [passed, failed, skipped] = totals.slice(1).map(Number)
  return countTests('clip_es_train_test', result, { total: passed + failed, passed, skipped })
}

export async function runTrainTests() {
  console.log('\nTraining program')
  const libtorch = libtorchWithHeaders()
  if (!libtorch) return skip(1, 'the training program: no LibTorch with headers; set CLIP_ES_LIBTORCH to one')
  return (await build(libtorch)) ?? add(await runCppTests(), await uvuSuite(testFiles('test/train')).run())
}
