// node scripts/count_instructions.mjs [BUILD]: what the inner loops of arm64's products consist of, in the objects of BUILD (default:
// build-prebuild/linux-arm64/tests). There is no arm64 CPU to time them on, so these counts stand in for time. Fails if a loop uses the stack
// more than now and then, loads an operand twice, or is missing. Needs the objdump of binutils-aarch64-linux-gnu, or another one in $OBJDUMP.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const build = process.argv[2] ?? 'build-prebuild/linux-arm64/tests'
const objdump = process.env.OBJDUMP ?? 'aarch64-linux-gnu-objdump'

/** Multiply-adds of one instruction. Widening multiplications (smull) are counted where their products are added (sadalp). */
const multiplyAdds = { fmla: 4, sdot: 16, sadalp: 16, bfmmla: 16, smmla: 32 }
/** Rows and columns of a tile; each loop multiplies a third, two thirds or all of the rows. */
const [rows, columns] = [12, 8]
/** The largest share of a loop's instructions that may use the stack. */
const mostOnStack = 0.1
/** 128-bit registers that one instruction loads. */
const registersLoaded = { ldr: 1, ldur: 1, ldp: 2, ld1: 1 }

function disassemble(object) {
  const { status, stdout, stderr, error } = spawnSync(objdump, ['-d', '-C', '--no-show-raw-insn', object], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  if (status !== 0) throw new Error(`${objdump} cannot read ${object}: ${error?.message ?? stderr.trim()}`)
  return stdout
}

/** [{ name, instructions: [{ address, text }] }] */
function functionsOf(listing) {
  const functions = []
  for (const line of listing.split('\n')) {
    const name = /^[0-9a-f]+ <(.*)>:$/.exec(line)?.[1]
    if (name !== undefined) functions.push({ name, instructions: [] })
    const [, address, text] = /^\s*([0-9a-f]+):\s+(.*)$/.exec(line) ?? []
    if (text !== undefined) functions.at(-1).instructions.push({ address, text: text.trim() })
  }
  return functions
}

/** The instructions from the target of a branch backwards to the branch, if they multiply. */
function innerLoop(instructions) {
  for (const [end, { text }] of instructions.entries()) {
    const target = /^(?:b\.\w+|cbn?z)\s+(?:\w+, )?([0-9a-f]+)\b/.exec(text)?.[1]
    const start = instructions.findIndex(({ address }) => address === target)
    if (start < 0 || start > end) continue
    const loop = instructions.slice(start, end + 1).map((instruction) => instruction.text)
    if (loop.some((line) => multiplyAdds[line.split(/\s/)[0]])) return loop
  }
  return undefined
}

function count(loop) {
  const result = { instructions: loop.length, multiplications: 0, multiplyAdds: 0, loads: 0, stack: 0 }
  for (const line of loop) {
    const name = line.split(/\s/)[0]
    if (multiplyAdds[name]) result.multiplications += 1
    result.multiplyAdds += multiplyAdds[name] ?? 0
    if (/\[sp\b/.test(line)) result.stack += 1
    else if (/^ld\S+\s+\{?[qv]\d/.test(line)) result.loads += registersLoaded[name] ?? Number.NaN
  }
  return result
}

const levels = ['baseline', 'dotprod', 'bf16_i8mm']
const loops = []
for (const level of levels) {
  const object = join(build, `CMakeFiles/clip_es_${level}.dir/cpp/ops/cpu/kernels/product_arm64.cpp.o`)
  for (const { name, instructions } of functionsOf(disassemble(object))) {
    const [, kind, form, height] = /multiply_\w+<.*::(Float32|BFloat16|Int8)(Words|Blocks), (\d+)>/.exec(name) ?? []
    if (kind === undefined) continue
    const loop = innerLoop(instructions)
    if (!loop) throw new Error(`${name} at level ${level} has no loop that multiplies`)
    const counts = count(loop)
    // Each word of x and of the panel has to be loaded once.
    const needed = ((Number(height) + columns) / 4) * (form === 'Blocks' ? 2 : 1)
    loops.push({ level, precision: kind.toLowerCase(), rows: Number(height), ...counts, needed })
  }
}
const expected = levels.length * 3 * 3 // precisions, thirds of the rows
loops.sort(
  (a, b) => levels.indexOf(a.level) - levels.indexOf(b.level) || a.precision.localeCompare(b.precision) || b.rows - a.rows,
)
console.table(
  loops.map((loop) => ({
    level: loop.level,
    precision: loop.precision,
    rows: loop.rows,
    instructions: loop.instructions,
    'multiply instructions': loop.multiplications,
    'loads (128 bits)': loop.loads,
    'on the stack': loop.stack,
    'multiplications per load': (loop.multiplications / loop.loads).toFixed(1),
    'multiply-adds per instruction': (loop.multiplyAdds / loop.instructions).toFixed(1),
  })),
)
const bad = loops.filter((loop) => loop.stack > mostOnStack * loop.instructions || loop.loads !== loop.needed)
for (const loop of bad)
  console.error(
    `${loop.level} ${loop.precision}, ${loop.rows} rows: ${loop.stack} uses of the stack, ${loop.loads} loads of ${loop.needed} needed`,
  )
if (loops.length !== expected) console.error(`${build} has ${loops.length} loops instead of ${expected}`)
else if (bad.length === 0)
  console.log(
    `each of the ${rows} x ${columns} tiles loads every operand once; ${loops.filter(({ stack }) => stack === 0).length} of ${loops.length} loops use no stack`,
  )
process.exitCode = bad.length === 0 && loops.length === expected ? 0 : 1
