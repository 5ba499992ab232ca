// node scripts/kernel_resources.mjs [--check] [FOLDER]: compiles every CUDA kernel of FOLDER (default: cpp/ops/cuda) for each architecture
// with nvcc and ptxas, and writes registers, shared memory and occupancy into the table of docs/kernels.md. Needs no GPU. Fails if a kernel
// spills registers or uses local memory.
// --check writes nothing, and fails if the kernels of the table are not those of FOLDER. The numbers are not compared, because they depend
// on the version of nvcc. Without nvcc it only compares the names.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const [check, folder = join(root, 'cpp/ops/cuda')] =
  process.argv[2] === '--check' ? [true, process.argv[3]] : [false, process.argv[2]]
const document = join(root, 'docs/kernels.md')
const [start, end] = ['<!-- kernel resources -->', '<!-- end of kernel resources -->']

/**
 * The limits of one multiprocessor, from the tables of the CUDA programming guide. Each block needs another 1 kB of shared memory for the
 * system. shared: bytes.
 */
const architectures = {
  sm_80: { name: 'A100', warps: 64, blocks: 32, registers: 65536, shared: 164 << 10 },
  sm_90: { name: 'H100', warps: 64, blocks: 32, registers: 65536, shared: 228 << 10 },
}

const roundUp = (value, step) => Math.ceil(value / step) * step

/** The share of a multiprocessor's warps that can run at the same time. Registers are given to each warp in units of 256. */
function occupancy({ threads, registers, shared }, limits) {
  const warps = Math.ceil(threads / 32)
  const quarter = Math.floor(limits.registers / 4 / roundUp(registers * 32, 256)) // warps of one of the four parts of a multiprocessor
  const blocks = Math.min(
    limits.blocks,
    Math.floor(limits.warps / warps),
    Math.floor((quarter * 4) / warps),
    Math.floor(limits.shared / roundUp(shared + 1024, 128)),
  )
  return (blocks * warps) / limits.warps
}

/** The kernels that a .cu file defines. */
const kernelsOf = (source) =>
  [...source.matchAll(/^__global__ void (?:__launch_bounds__\(.*?\) )?(\w+)\(/gm)].map((match) => match[1])

function tableOf(text) {
  const [from, to] = [text.indexOf(start), text.indexOf(end)]
  if (from < 0 || to < from)
    throw new Error(`docs/kernels.md lacks the lines '${start}' and '${end}', between which the table stands`)
  return { before: text.slice(0, from + start.length), table: text.slice(from + start.length, to), after: text.slice(to) }
}

/** What a document's table and the sources have not in common: sentences, none if all is well. */
function differences(text, sources) {
  const inTable = new Set([...tableOf(text).table.matchAll(/^\| `(\w+)/gm)].map((match) => match[1]))
  const inSources = new Set(sources.flatMap(kernelsOf).map((name) => name.replace(/_kernel$/, '')))
  return [
    ...[...inSources].filter((name) => !inTable.has(name)).map((name) => `the table of docs/kernels.md lacks the kernel ${name}`),
    ...[...inTable]
      .filter((name) => !inSources.has(name))
      .map((name) => `the table of docs/kernels.md has ${name}, which is not a kernel`),
  ].map((problem) => `${problem}: run node scripts/kernel_resources.mjs`)
}

/**
 * { name: { registers, shared, local } } from what `ptxas -v` prints. local: bytes of stack frames and spills, also those of functions that
 * the kernel calls.
 */
function resourcesOf(listing) {
  const found = {}
  let kernel
  for (const line of listing.split('\n')) {
    const name = /Compiling entry function '(\w+)'/.exec(line)?.[1]
    if (name) kernel = found[name] = { local: 0 }
    const frame = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line) ?? []
    for (const bytes of frame.slice(1)) kernel.local += Number(bytes)
    const registers = /Used (\d+) registers/.exec(line)?.[1]
    if (registers)
      Object.assign(kernel, { registers: Number(registers), shared: Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0) })
  }
  return found
}

/** { name: threads of a block } from PTX: the product of .maxntid, which __launch_bounds__ sets. */
function blockSizesOf(ptx) {
  const entries = [...ptx.matchAll(/\.entry (\w+)\([^)]*\)\s*(?:\.maxntid ([\d, ]+))?/g)]
  return Object.fromEntries(
    entries.map(([, name, threads]) => [name, threads?.split(',').reduce((product, part) => product * Number(part), 1)]),
  )
}

function run(program, args, input) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', input })
  if (status !== 0) throw new Error(`${program} failed (${error?.message ?? `exit status ${status}`})\n${stderr ?? ''}`)
  return stdout + stderr
}

/** `layer_norm_kernel<BFloat16, float>` of a mangled name becomes `layer_norm<BFloat16, float>`. */
const shortName = (demangled) =>
  demangled
    .replace(/\w+::|\(anonymous namespace\)::/g, '')
    .replace(/^void /, '')
    .replace(/_kernel(<.*>)?\(.*$/, '$1')

/** [{ name, threads, registers, shared, local }] of one file for one architecture. */
function compile(file, architecture, temporary) {
  const ptx = join(temporary, 'kernels.ptx')
  const virtual = architecture.replace('sm_', 'compute_')
  run('nvcc', ['-ptx', `-arch=${virtual}`, '-std=c++17', '-I', join(root, 'cpp'), file, '-o', ptx])
  const resources = resourcesOf(run('ptxas', ['-v', `-arch=${architecture}`, ptx, '-o', join(temporary, 'kernels.cubin')]))
  const threads = blockSizesOf(readFileSync(ptx, 'utf8'))
  const mangled = Object.keys(resources)
  if (mangled.length === 0) return []
  const names = run('c++filt', [], mangled.join('\n')).trim().split('\n').map(shortName)
  return mangled.map((key, index) => ({ name: names[index], architecture, threads: threads[key], ...resources[key] }))
}

/** The rows of all files and architectures. */
function compileAll(files) {
  const temporary = mkdtempSync(join(tmpdir(), 'clip-es-kernels-'))
  try {
    return files.flatMap((file) => Object.keys(architectures).flatMap((name) => compile(file, name, temporary)))
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
}

/** Sentences about what must not be, none if all is well. */
function problemsOf(rows) {
  return rows.flatMap(({ name, architecture, local, threads }) => [
    ...(local > 0
      ? [`${name} spills registers or uses local memory on ${architecture}: ${local} bytes; use fewer values at a time`]
      : []),
    ...(threads === undefined ? [`${name} has no __launch_bounds__, so its occupancy is not known`] : []),
  ])
}

function describe(rows) {
  const of = (name, architecture) => rows.find((row) => row.name === name && row.architecture === architecture)
  const cells = (row) => [row.registers, row.shared, `${Math.round(100 * occupancy(row, architectures[row.architecture]))} %`]
  const names = Object.keys(architectures)
  const lines = [
    ['kernel', 'threads', ...names.flatMap((name) => [`${name}: registers`, 'shared memory', 'occupancy'])],
    Array(2 + 3 * names.length).fill('---'),
    ...rows
      .filter((row) => row.architecture === names[0])
      .sort((a, b) => a.name.localeCompare(b.name))
      .map((row) => [`\`${row.name}\``, row.threads, ...names.flatMap((name) => cells(of(row.name, name)))]),
  ]
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n')
}

const files = readdirSync(folder)
  .filter((name) => name.endsWith('.cu'))
  .sort()
  .map((name) => join(folder, name))
const version = /release ([\d.]+)/.exec(spawnSync('nvcc', ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[1]
if (!version && !check) throw new Error('nvcc is not on PATH; it belongs to the CUDA toolkit')
const rows = version ? compileAll(files) : []
if (!check) {
  const { before, after } = tableOf(readFileSync(document, 'utf8'))
  writeFileSync(document, `${before}\n${describe(rows)}\n\nCompiled by nvcc ${version}.\n${after}`)
}
const sources = files.map((file) => readFileSync(file, 'utf8'))
const problems = [...problemsOf(rows), ...differences(readFileSync(document, 'utf8'), sources)]
for (const problem of problems) console.error(problem)
console.log(
  version
    ? `nvcc ${version} compiled ${rows.length / Object.keys(architectures).length} kernels`
    : 'nvcc is not on PATH: only the names of the kernels were compared',
)
process.exitCode = problems.length > 0 ? 1 : 0
