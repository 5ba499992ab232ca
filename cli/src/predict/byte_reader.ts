import type { Readable } from 'node:stream'

/** Reads lines and blocks of bytes from one stream, in turns. One read at a time. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)

  constructor(stream: Readable) {
    this.#chunks = stream[Symbol.asyncIterator]()
  }

  /** The next line without its end; undefined where the stream ends before. */
  async line(): Promise<string | undefined> {
    const parts: Buffer[] = []
    for (;;) {
      const end = this.#rest.indexOf('\n')
      if (end >= 0) {
        parts.push(this.#rest.subarray(0, end))
        this.#rest = this.#rest.subarray(end + 1)
        return Buffer.concat(parts).toString('utf8')
      }
      parts.push(this.#rest)
      if (!(await this.#next())) return undefined
    }
  }

  /** Fills the block with the next bytes, and returns it; undefined where the stream ends before. */
  async fill(block: Buffer): Promise<Buffer | undefined> {
    let filled = 0
    while (filled < block.length) {
      if (!this.#rest.length && !(await this.#next())) return undefined
      const copied = this.#rest.copy(block, filled)
      filled += copied
      this.#rest = this.#rest.subarray(copied)
    }
    return block
  }

  async #next(): Promise<boolean> {
    const { value, done } = await this.#chunks.next()
    this.#rest = done ? Buffer.alloc(0) : value
    return !done
  }
}
