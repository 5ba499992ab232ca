const infinity = 0x7c00
const smallestNormal = 113 // exponent field of 2^-14 in float32
const largest = 142 // of 2^15
const [firstNormal, behindLargest] = [smallestNormal << 23, (largest + 1) << 23]
const rebias = (smallestNormal - 1) << 23

/**
 * Half-precision bits (IEEE 754 binary16) of float32 numbers, rounded to the nearest, ties to even, as numpy's astype does. Under 2^-14
 * they are subnormal; from 65520 on infinite.
 * @param out as many: where they go
 */
export function toFloat16(values: Float32Array, out: Uint16Array = new Uint16Array(values.length)): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  for (let i = 0; i < bits.length; i++) {
    const x = bits[i] as number
    const size = x & 0x7fffffff
    // A carry out of the mantissa runs into the exponent, which is right: 0x3ff rounded up is the next power of two, or infinite.
    if (size >= firstNormal && size < behindLargest)
      out[i] = ((x >>> 16) & 0x8000) | ((size - rebias + 0xfff + ((size >>> 13) & 1)) >>> 13)
    else out[i] = ((x >>> 16) & 0x8000) | beyondNormal(size >>> 23, size & 0x7fffff)
  }
  return out
}

function beyondNormal(exponent: number, mantissa: number): number {
  if (exponent === 255) return mantissa ? infinity | 0x200 | (mantissa >>> 13) : infinity
  if (exponent > largest) return infinity
  const shift = 13 + smallestNormal - exponent
  return shift > 24 ? 0 : roundedShift(0x800000 | mantissa, shift)
}

/** value / 2^shift, rounded to the nearest, ties to even. */
function roundedShift(value: number, shift: number): number {
  const quotient = value >>> shift
  const rest = value & ((1 << shift) - 1)
  const half = 1 << (shift - 1)
  return rest > half || (rest === half && quotient & 1) ? quotient + 1 : quotient
}
