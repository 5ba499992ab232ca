import { invalid } from '../core/errors.js'

// The run-length code of Label Studio's brush: the format of @thi.ng/rle-pack over the RGBA bytes of a picture, row by row. It is a stream of bits,
// the highest bit of a number first:
//
//   32 bits      number of values
//    5 bits      bits in a value, less 1
//    4 x 4 bits  four lengths, in bits, less 1: in how many bits the length of a run is written
//   then runs:   1 bit (1 for a value that is repeated), 2 bits (which of the four lengths), the number of values less 1, the value;
//                or 0, 2 bits, the number of values less 1, and as many values

const valueBits = 8
const lengths = [3, 4, 8, 16] as const
const channels = 4
const opaque = 255

/** Writes numbers of any number of bits. */
class BitWriter {
  readonly bytes: number[] = []
  #free = 0 // bits of the last byte that are not written yet

  write(value: number, bits: number): void {
    for (let left = bits; left > 0; ) {
      if (!this.#free) this.#free = this.bytes.push(0) && 8
      const count = Math.min(left, this.#free)
      left -= count
      this.#free -= count
      const part = (value >>> left) & (2 ** count - 1)
      this.bytes[this.bytes.length - 1] = (this.bytes.at(-1) as number) | (part << this.#free)
    }
  }

  writeRun(value: number, count: number): void {
    const choice = lengths.findIndex((bits) => count <= 2 ** bits)
    this.write(1, 1)
    this.write(choice, 2)
    this.write(count - 1, lengths[choice] as number)
    this.write(value, valueBits)
  }
}

/**
 * Pixels as Label Studio's brush has them: all four channels of a pixel are 255 inside and 0 outside.
 * @param inside for each pixel, row by row, whether the brush painted it (not 0)
 * @returns the bytes of the code
 */
export function encodeBrush(inside: ArrayLike<number>): number[] {
  const writer = new BitWriter()
  writer.write(channels * inside.length, 32)
  writer.write(valueBits - 1, 5)
  for (const bits of lengths) writer.write(bits - 1, 4)
  const most = 2 ** lengths[3]
  for (let from = 0; from < inside.length; ) {
    let to = from + 1
    while (to < inside.length && !inside[to] === !inside[from]) to++
    for (let left = channels * (to - from); left > 0; left -= most)
      writer.writeRun(inside[from] ? opaque : 0, Math.min(left, most))
    from = to
  }
  return writer.bytes
}

/** Reads numbers of any number of bits. */
class BitReader {
  readonly #bytes: ArrayLike<number>
  #at = 0

  constructor(bytes: ArrayLike<number>) {
    this.#bytes = bytes
  }

  read(bits: number): number {
    if (this.#at + bits > 8 * this.#bytes.length) throw invalid('the run-length code of a brush ends early')
    let value = 0
    for (let i = 0; i < bits; i++, this.#at++)
      value = 2 * value + (((this.#bytes[this.#at >> 3] as number) >> (7 - (this.#at & 7))) & 1)
    return value
  }
}

/**
 * The pixels of a brush, row by row: 1 where its last channel, which is its opacity, is not 0.
 * @throws ERR_INVALID_ARG for a code that ends early, or has another number of pixels
 */
export function decodeBrush(bytes: ArrayLike<number>, pixels: number): Uint8Array {
  const reader = new BitReader(bytes)
  const count = reader.read(32)
  if (count !== channels * pixels)
    throw invalid(`the run-length code of a brush has ${count} values; expected ${channels * pixels}, ${channels} for each pixel`)
  const bits = reader.read(5) + 1
  const sizes = lengths.map(() => reader.read(4) + 1)
  const inside = new Uint8Array(pixels)
  for (let at = 0; at < count; ) {
    const isRun = reader.read(1) === 1
    const end = at + reader.read(sizes[reader.read(2)] as number) + 1
    let value = isRun ? reader.read(bits) : 0
    for (; at < end; at++) {
      if (!isRun) value = reader.read(bits)
      if (at % channels === channels - 1 && value) inside[at >> 2] = 1
    }
  }
  return inside
}
