/** A set of whole numbers below a limit, in one bit each. */
export class Bits {
  readonly #bytes: Uint8Array
  #size = 0

  constructor(readonly limit: number) {
    this.#bytes = new Uint8Array(Math.ceil(limit / 8))
  }

  /** Every number below the limit. */
  static all(limit: number): Bits {
    const bits = new Bits(limit)
    for (let number = 0; number < limit; number++) bits.add(number)
    return bits
  }

  get size(): number {
    return this.#size
  }

  has(number: number): boolean {
    return ((this.#bytes[number >> 3] as number) & (1 << (number & 7))) !== 0
  }

  add(number: number): void {
    if (this.has(number)) return
    ;(this.#bytes[number >> 3] as number) |= 1 << (number & 7)
    this.#size++
  }

  /** False if it was not there. */
  delete(number: number): boolean {
    if (!this.has(number)) return false
    ;(this.#bytes[number >> 3] as number) &= ~(1 << (number & 7))
    this.#size--
    return true
  }

  /** In ascending order. */
  *[Symbol.iterator](): Generator<number> {
    for (let number = 0; number < this.limit; number++) if (this.has(number)) yield number
  }
}
