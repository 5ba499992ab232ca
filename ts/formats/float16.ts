// Half precision (IEEE 754 binary16). Our own code, because it is on the path of every map that is written: docs/internals/dependencies.md.

const infinity = 0x7c00
const smallestNormal = 113 // exponent field of 2^-14 in float32
const largest = 142 // of 2^15
const [firstNormal, behindLargest] = [smallestNormal << 23, (largest + 1) << 23]
const rebias = (smallestNormal - 1) << 23

/**
 * The bits of float32 numbers in half precision, rounded to the nearest, ties to even, as numpy's astype does. Numbers below 2^-14 become
 * subnormal, numbers from 65520 infinite.
 * @param out as many elements as `values`: the result
 */
export function toFloat16(values: Float32Array, out: Uint16Array = new Uint16Array(values.length)): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  for (let i = 0; i < bits.length; i++) {
    const x = bits[i] as number
    const size = x & 0x7fffffff
    // A carry out of the mantissa runs into the exponent, which is right: 0x3ff rounded up is the next power of two, or infinity.
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

let table: Float32Array | undefined

/** The numbers that bits in half precision stand for. */
export function fromFloat16(bits: Uint16Array): Float32Array {
  table ??= Float32Array.from({ length: 65536 }, (_, half) => numberOf(half))
  const values = new Float32Array(bits.length) // from() with a function is ten times slower
  for (let i = 0; i < bits.length; i++) values[i] = table[bits[i] as number] as number
  return values
}

function numberOf(bits: number): number {
  const [sign, exponent, mantissa] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023]
  if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (exponent ? (1 + mantissa / 1024) * 2 ** (exponent - 15) : mantissa * 2 ** -24)
}
