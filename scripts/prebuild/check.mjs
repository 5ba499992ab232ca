// node scripts/prebuild/check.mjs: checks the add-ons in prebuilds/: that there is one for every platform, its size, what it needs of the
// system, and what it exports. `npm publish` runs it, so that no release lacks a platform.
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { readBinary } from './binary.mjs'
import { largestPrebuild, nameOf, newestGlibc, prebuildOf, targets } from './targets.mjs'

/** What Node.js looks up. */
const exports = ['napi_register_module_v1', 'node_api_module_get_api_version_v1']

const formats = { linux: 'ELF', win32: 'PE', darwin: 'Mach-O' }

const minorOf = (version) => Number(version.split('.')[1])

/** A symbol's version is allowed if it is one of glibc and old enough: GLIBCXX and GCC_… would need libraries that a system may lack. */
function isOldEnough(version) {
  const [, glibc] = /^GLIBC_(2\.\d+)(\.\d+)?$/.exec(version) ?? []
  return glibc !== undefined && minorOf(glibc) <= minorOf(newestGlibc)
}

/** What is wrong with a prebuild, as sentences. */
export function faultsOf(target, bytes) {
  const { format, cpu, libraries, exported, versioned } = readBinary(bytes)
  const faults = []
  if (bytes.length > largestPrebuild) faults.push(`it has ${bytes.length} bytes, more than ${largestPrebuild}`)
  if (format !== formats[target.platform] || cpu !== target.arch) faults.push(`it is a ${format} file for ${cpu}`)
  for (const library of libraries) if (!target.libraries.test(library)) faults.push(`it needs the library ${library}`)
  for (const { name, version } of versioned)
    if (!isOldEnough(version))
      faults.push(`it needs ${name} of ${version}, and the newest that it may need is GLIBC_${newestGlibc}`)
  const strange = exported?.filter((name) => !exports.includes(name)) ?? []
  const missing = exported ? exports.filter((name) => !exported.includes(name)) : []
  if (strange.length) faults.push(`it exports ${strange.slice(0, 5).join(', ')}, which may meet symbols of other add-ons`)
  if (missing.length) faults.push(`it does not export ${missing.join(', ')}`)
  return faults
}

function describe(target, bytes) {
  const { versioned } = readBinary(bytes)
  const versions = versioned.map(({ version }) => version.replace('GLIBC_', '')).sort((a, b) => minorOf(a) - minorOf(b))
  const glibc = versions.length ? `, needs glibc ${versions.at(-1)}` : ''
  return `${nameOf(target)}: ${(bytes.length / 1e6).toFixed(2)} MB${glibc}`
}

/** Prints a line for each prebuild. Throws if one is missing or wrong. */
export function checkPrebuilds(chosen = targets) {
  const faults = []
  for (const target of chosen) {
    const file = prebuildOf(target)
    if (!existsSync(file)) {
      faults.push(`${file} is missing: run npm run prebuild:all`)
      continue
    }
    const bytes = readFileSync(file)
    console.log(describe(target, bytes))
    faults.push(...faultsOf(target, bytes).map((fault) => `${file}: ${fault}`))
  }
  if (faults.length) throw new Error(faults.join('\n'))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    checkPrebuilds()
  } catch (error) {
    console.error(error.message)
    process.exitCode = 1
  }
}
