import { readFileSync } from 'node:fs'

/** The line of /proc/cpuinfo that lists a CPU's extensions, and the sets of them with which it multiplies bfloat16. */
const lists: Readonly<Record<string, { line: RegExp; sets: readonly (readonly string[])[] }>> = {
  x64: { line: /^flags\s*:(.*)$/m, sets: [['avx512_bf16'], ['amx_bf16']] },
  arm64: { line: /^Features\s*:(.*)$/m, sets: [['bf16', 'i8mm']] }, // our level for arm64 needs both
}

function cpuInfo(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8')
  } catch {
    return '' // no such file in some containers
  }
}

/**
 * What `precision: 'auto'` means on a CPU: bfloat16 if the CPU multiplies it, else float32, which is then faster.
 * @param info the text of /proc/cpuinfo
 */
export function autoPrecision(info = cpuInfo(), arch: string = process.arch): 'float32' | 'bfloat16' {
  const list = lists[arch]
  const extensions = list?.line.exec(info)?.[1]?.trim().split(/\s+/) ?? []
  return list?.sets.some((set) => set.every((name) => extensions.includes(name))) ? 'bfloat16' : 'float32'
}
