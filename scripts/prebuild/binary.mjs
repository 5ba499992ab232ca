// Reads what a shared library needs, from its bytes: tools such as objdump know only the formats of their own platform.
// The three formats are ELF (Linux), PE (Windows) and Mach-O (macOS); 64 bits and little-endian only.

const textAt = (bytes, at) => bytes.toString('latin1', at, bytes.indexOf(0, at))

/** An array of the results for 0 to count - 1. */
const each = (count, read) => Array.from({ length: count }, (_, i) => read(i))

const elfCpus = { 62: 'x64', 183: 'arm64' }
const elf = { dynamic: 6, symbols: 11, versions: 0x6fffffff, neededVersions: 0x6ffffffe }

/** The versions of other libraries' symbols that an ELF file needs, by their index. */
function readNeededVersions(bytes, section, names) {
  const versions = new Map()
  for (let at = section.offset, next = 1; next; at += next) {
    next = bytes.readUInt32LE(at + 12)
    let entry = at + bytes.readUInt32LE(at + 8)
    for (let i = bytes.readUInt16LE(at + 2); i > 0; i--) {
      versions.set(bytes.readUInt16LE(entry + 6), textAt(bytes, names + bytes.readUInt32LE(entry + 8)))
      entry += bytes.readUInt32LE(entry + 12)
    }
  }
  return versions
}

function readElf(bytes) {
  const headers = Number(bytes.readBigUInt64LE(0x28))
  const sections = each(bytes.readUInt16LE(0x3c), (i) => {
    const at = headers + i * bytes.readUInt16LE(0x3a)
    const [offset, size] = [at + 24, at + 32].map((field) => Number(bytes.readBigUInt64LE(field)))
    return { type: bytes.readUInt32LE(at + 4), offset, size, link: bytes.readUInt32LE(at + 40) }
  })
  const find = (type) => sections.find((section) => section.type === type)
  const namesOf = (section) => sections[section.link].offset
  const dynamic = find(elf.dynamic)
  const libraries = each(dynamic.size / 16, (i) => dynamic.offset + 16 * i)
    .filter((at) => bytes.readBigUInt64LE(at) === 1n) // DT_NEEDED
    .map((at) => textAt(bytes, namesOf(dynamic) + Number(bytes.readBigUInt64LE(at + 8))))
  const needed = find(elf.neededVersions)
  const versions = needed ? readNeededVersions(bytes, needed, namesOf(needed)) : new Map()
  const table = find(elf.symbols)
  const symbols = each(table.size / 24, (i) => ({
    name: textAt(bytes, namesOf(table) + bytes.readUInt32LE(table.offset + 24 * i)),
    isDefined: bytes.readUInt16LE(table.offset + 24 * i + 6) !== 0,
    version: versions.get(bytes.readUInt16LE(find(elf.versions).offset + 2 * i) & 0x7fff),
  }))
  return {
    format: 'ELF',
    cpu: elfCpus[bytes.readUInt16LE(0x12)],
    libraries,
    exported: symbols.filter(({ name, isDefined }) => name && isDefined).map(({ name }) => name),
    /** Such as { name: 'memcpy', version: 'GLIBC_2.14' }. */
    versioned: symbols.filter(({ version, isDefined }) => version && !isDefined).map(({ name, version }) => ({ name, version })),
  }
}

function readPe(bytes) {
  const header = bytes.readUInt32LE(0x3c) + 4 // the COFF header
  const optional = header + 20
  const sections = each(bytes.readUInt16LE(header + 2), (i) => {
    const at = optional + bytes.readUInt16LE(header + 16) + 40 * i
    return { address: bytes.readUInt32LE(at + 12), size: bytes.readUInt32LE(at + 8), offset: bytes.readUInt32LE(at + 20) }
  })
  const offsetOf = (address) => {
    const section = sections.find((one) => address >= one.address && address < one.address + one.size)
    return section.offset + address - section.address
  }
  const table = (i) => bytes.readUInt32LE(optional + 112 + 8 * i) // the address of a table, or 0
  const libraries = []
  if (table(1))
    for (let at = offsetOf(table(1)); bytes.readUInt32LE(at + 12); at += 20)
      libraries.push(textAt(bytes, offsetOf(bytes.readUInt32LE(at + 12))))
  const exports = table(0) && offsetOf(table(0))
  const exported = exports
    ? each(bytes.readUInt32LE(exports + 24), (i) => {
        const names = offsetOf(bytes.readUInt32LE(exports + 32))
        return textAt(bytes, offsetOf(bytes.readUInt32LE(names + 4 * i)))
      })
    : []
  return { format: 'PE', cpu: bytes.readUInt16LE(header) === 0x8664 ? 'x64' : undefined, libraries, exported, versioned: [] }
}

const machCpus = { 16777223: 'x64', 16777228: 'arm64' }
const loadsLibrary = new Set([0xc, 0x80000018, 0x8000001f]) // usual, weak and re-exported

function readMachO(bytes) {
  const libraries = []
  for (let at = 32, i = bytes.readUInt32LE(16); i > 0; i--, at += bytes.readUInt32LE(at + 4))
    if (loadsLibrary.has(bytes.readUInt32LE(at))) libraries.push(textAt(bytes, at + bytes.readUInt32LE(at + 8)))
  return { format: 'Mach-O', cpu: machCpus[bytes.readUInt32LE(4)], libraries, versioned: [] }
}

/** The facts about a shared library. `exported` is unknown for Mach-O. */
export function readBinary(bytes) {
  const magic = bytes.readUInt32BE(0)
  if (magic === 0x7f454c46) return readElf(bytes)
  if (magic === 0xcffaedfe) return readMachO(bytes)
  if (magic >>> 16 === 0x4d5a) return readPe(bytes)
  throw new Error(`it is not a library of Linux, Windows or macOS: it begins with ${bytes.toString('hex', 0, 4)}`)
}
