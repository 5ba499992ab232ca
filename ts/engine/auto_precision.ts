import { readFileSync } from 'node:fs'

// As Linux names them on x86-64: AVX-512's products of bfloat16 pairs, and the tiles of AMX.
const instructions = ['avx512_bf16', 'amx_bf16']

function cpuInfo(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8')
  } catch {
    return '' // no such file in some containers
  }
}

/**
 * What `precision: 'auto'` means on a processor: bfloat16 where it multiplies bfloat16 by itself, else float32, which is faster than
 * bfloat16 imitated.
 * @param info the text of /proc/cpuinfo
 */
export function autoPrecision(info = cpuInfo()): 'float32' | 'bfloat16' {
  const flags = /^flags\s*:(.*)$/m.exec(info)?.[1]?.split(' ') ?? []
  return instructions.some((name) => flags.includes(name)) ? 'bfloat16' : 'float32'
}
