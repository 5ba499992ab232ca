const infinity = 0x7c00
const smallestNormal = 113 // exponent field of 2^-14 in float32
const largest = 142 // of 2^15

/**
 * Half-precision bits (IEEE 754 binary16) of float32 numbers, rounded to the nearest, ties to even, as numpy's astype does. Under 2^-14
 * they are subnormal; from 65520 on infinite.
 */
export function toFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const out = new Uint16Array(values.length)
  for (let i = 0; i < out.length; i++) {
    const x = bits[i] as number
    out[i] = ((x >>> 16) & 0x8000) | magnitude((x >>> 23) & 0xff, x & 0x7fffff)
  }
  return out
}

function magnitude(exponent: number, mantissa: number): number {
  if (exponent === 255) return mantissa ? infinity | 0x200 | (mantissa >>> 13) : infinity
  if (exponent > largest) return infinity
  // A carry out of the mantissa runs into the exponent, which is right: 0x3ff rounded up is the next power of two.
  if (exponent >= smallestNormal) return roundedShift(((exponent - smallestNormal + 1) << 23) | mantissa, 13)
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
