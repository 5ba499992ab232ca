import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { defaultThreads, packageFolder, packageVersion } from 'clip-es/support'
import { familySync, GLIBC, versionSync } from 'detect-libc'
import { type Check, ok, warning, wrong } from './check.js'

const oldestGlibc = '2.28' // of LibTorch's own builds (manylinux_2_28)
const leastMemory = 2e9 // bytes: the paper's ViT-B/16 with a photo of 1024 pixels, and room to spare

const isOlder = (version: string, than: string): boolean => version.localeCompare(than, 'en', { numeric: true }) < 0

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`

interface PackageFile {
  engines: { node: string }
}

/** The versions of Node.js that package.json names, such as '^20.19.0 || >=24.0.0'. */
function supportedVersions(): string {
  return (JSON.parse(readFileSync(join(packageFolder(), 'package.json'), 'utf8')) as PackageFile).engines.node
}

/** The parts of a range. Knows the two operators that package.json uses: ^ (the same major version) and >=. */
function parseRange(range: string): { operator: string; lowest: string }[] {
  return range.split('||').map((part) => {
    const [, operator, lowest] = /^(\^|>=)(\d+\.\d+\.\d+)$/.exec(part.trim()) ?? []
    if (!operator || !lowest) throw new Error(`'${part.trim()}' in the range '${range}' is not ^1.2.3 or >=1.2.3`)
    return { operator, lowest }
  })
}

const isSameMajor = (a: string, b: string): boolean => a.split('.')[0] === b.split('.')[0]

/** This package and the Node.js that runs it. */
export function nodeCheck(node = process.versions.node, range = supportedVersions()): Check {
  const parts = parseRange(range)
  const values = { package: packageVersion(), node }
  if (parts.some(({ operator, lowest }) => !isOlder(node, lowest) && (operator === '>=' || isSameMajor(node, lowest))))
    return ok('Node.js', `${node} at ${process.execPath}`, values)
  const versions = new Intl.ListFormat('en', { type: 'disjunction' }).format(parts.map(({ lowest }) => lowest))
  const remedy = `install Node.js ${versions}, or a later version with the same first number`
  return wrong('Node.js', `${node} is not supported: clip-es needs ${range}`, remedy, values)
}

export function platformCheck(): Check {
  const { platform, arch } = process
  const glibc = familySync() === GLIBC ? (versionSync() ?? undefined) : undefined // the family is null on systems other than Linux
  const values = { platform, arch, glibc }
  const detail = `${platform} ${arch}${glibc ? `, glibc ${glibc}` : ''}`
  if (platform === 'win32' && arch === 'x64') return ok('platform', detail, values)
  if (platform === 'darwin')
    return warning('platform', detail, 'nobody has tested this version on macOS yet: run npx clip-es demo first', values)
  if (platform !== 'linux')
    return wrong('platform', detail, 'use Linux, macOS, or Windows on x64: this version is for no other system', values)
  if (!glibc)
    return wrong('platform', `${detail}, not glibc`, 'use a system with glibc, such as Debian, Ubuntu or Fedora', values)
  if (isOlder(glibc, oldestGlibc))
    return warning(
      'platform',
      detail,
      `the CPU works; for device 'cuda' LibTorch's builds need glibc ${oldestGlibc}: use a newer system`,
      values,
    )
  if (arch !== 'x64') return warning('platform', detail, 'this version is tested only on x64; run npm test', values)
  return ok('platform', detail, values)
}

/** Extensions that make a difference, by their names in /proc/cpuinfo. */
const extensions: Readonly<Record<string, string>> = {
  avx2: 'AVX2',
  avx512f: 'AVX-512',
  avx512_vnni: 'AVX-512 VNNI',
  avx512_bf16: 'AVX-512 bf16',
  amx_bf16: 'AMX bf16',
  asimddp: 'dot products', // this and the next are arm64's
  bf16: 'bf16',
  i8mm: 'i8mm',
}

/** The extensions that Linux reports for this CPU; empty on other systems, which do not tell. */
export function cpuFlags(): Set<string> {
  try {
    return new Set(
      readFileSync('/proc/cpuinfo', 'utf8')
        .match(/^(?:flags|Features)\s*:(.*)$/m)?.[1]
        ?.trim()
        .split(/\s+/),
    )
  } catch {
    return new Set()
  }
}

export function cpuCheck(): Check {
  const flags = cpuFlags()
  const has = Object.entries(extensions).flatMap(([flag, name]) => (flags.has(flag) ? [name] : []))
  const model = cpus()[0]?.model.trim() || 'unknown model'
  const [cores, threads] = [defaultThreads(), cpus().length]
  const values = { model, cores, threads, extensions: has }
  const none = process.arch === 'x64' ? 'no AVX2' : 'no dot products'
  const known = flags.size ? `; ${has.join(', ') || none}` : ''
  const detail = `${model}, ${cores} cores used by default, ${threads} threads${known}`
  if (process.arch === 'x64' && flags.size && !flags.has('avx2'))
    return warning('CPU', detail, 'without AVX2 everything works, many times slower: use a CPU made after 2013', values)
  return ok('CPU', detail, values)
}

export function memoryCheck(): Check {
  const [total, available] = [process.constrainedMemory() || totalmem(), process.availableMemory()]
  // Without a limit the kernel reports one beyond any memory.
  const values = { total: Math.min(total, totalmem()), available }
  const detail = `${gigabytes(values.total)}, ${gigabytes(available)} available`
  if (available >= leastMemory) return ok('memory', detail, values)
  return warning('memory', detail, 'close other programs, or use a smaller model and a smaller --max-side', values)
}
