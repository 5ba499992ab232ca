// node scripts/test_arm64.mjs [BUILD]: runs a selection of the C++ tests for arm64 Linux in the emulator qemu at every CPU level, on a CPU with
// all instructions and on an old one, and counts the instructions of the inner loops. Prints `C++ tests: N passed, …` for each run.
// Builds them with the compiler of the prebuild, so that what is tested is what is shipped; with ccache the prebuild and these share most of the
// work. With BUILD, takes tests that another compiler has built there: see cmake/linux-arm64.cmake. Needs Debian's packages
// g++-aarch64-linux-gnu (for its C library and objdump) and qemu-user-static; without them it prints `skipped: …` and ends with status 0.
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { folderOf, nameOf, targets } from './prebuild/targets.mjs'
import { configureWithZig } from './prebuild/zig.mjs'

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'))
const target = targets.find((one) => nameOf(one) === 'linux-arm64')
const build = process.argv[2] ?? join(folderOf(target), 'tests')
const emulator = 'qemu-aarch64-static'

/** The kernels against their twins. The kernels' tests run all levels of the CPU by themselves. */
const kernels = ['kernels_test', 'denormals_test', 'packed_matmul_test']
/** The whole engine against the golden results, and the parts of it that have the most code of their own for arm64. */
const golden = ['golden_test']
const engine = [
  ...golden,
  'golden_segmenter_test',
  'attention_test',
  'softmax_gradcam_test',
  'crf_mask_test',
  'crf_position_test',
  'resize_test',
]

/**
 * CPU of the emulator, its level, tests. The products, and so the golden results, differ between levels; those in float32 only by the
 * compiler's flags.
 */
const runs = [
  ['max', 'bf16_i8mm', [...kernels, ...engine]],
  ['max', 'dotprod', ['in bfloat16 and int8 the pixels']],
  ['cortex-a53', 'baseline', ['the CPU levels end with baseline', ...golden]], // it stops at an instruction that this CPU lacks
]

function start(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', env: { ...process.env, ...env } })
  if (error) console.error(`${command}: ${error.message}`)
  return status === 0
}

function compile() {
  const tests = [...kernels, ...engine].join(';') // these build in half the time of all
  // Position independent, as the add-on is, so that zig compiles its C++ library only once.
  const folder = configureWithZig(target, 'tests', [`-DCLIP_ES_TESTS=${tests}`, '-DCMAKE_EXE_LINKER_FLAGS=-pie'])
  return start('cmake', ['--build', folder, '--target', 'clip_es_test'])
}

function test([cpu, level, tests]) {
  console.log(`\nC++ tests for arm64, -cpu ${cpu}, CLIP_ES_CPU=${level}`)
  const chosen = tests.flatMap((name) => ['--only', name])
  const program = ['-L', '/usr/aarch64-linux-gnu', '-cpu', cpu, `${build}/clip_es_test`, ...chosen]
  return start(emulator, program, { CLIP_ES_CPU: level, CLIP_ES_GOLDEN_FULL: undefined, CLIP_ES_LIBTORCH: undefined })
}

const missing = ['aarch64-linux-gnu-objdump', emulator].find((name) => spawnSync(name, ['--version']).error !== undefined)
if (missing) console.log(`skipped: the tests for arm64, because there is no ${missing}`)
else if (!process.argv[2] && !compile()) process.exitCode = 1
else {
  const passed = [start(process.execPath, ['scripts/count_instructions.mjs', build]), ...runs.map(test)]
  process.exitCode = passed.every(Boolean) ? 0 : 1
}
