import { readFileSync } from 'node:fs'

/** A class set's file: its header, to change, and its arrays. */
export class SavedClasses {
  readonly header: Record<string, { shape: number[]; data_offsets: [number, number] }> & { __metadata__: Record<string, string> }
  readonly #body: Buffer

  constructor(file: string) {
    const bytes = readFileSync(file)
    const end = 8 + Number(bytes.readBigUInt64LE())
    this.header = JSON.parse(bytes.toString('utf8', 8, end))
    this.#body = bytes.subarray(end)
  }

  /** Unit rows, one per text. */
  rows(name: 'rows' | 'background'): Float32Array[] {
    const { shape, data_offsets: offsets } = this.header[name] as { shape: number[]; data_offsets: [number, number] }
    const [count, embedding] = shape as [number, number]
    const floats = new Float32Array(new Uint8Array(this.#body.subarray(...offsets)).buffer)
    return Array.from({ length: count }, (_, i) => floats.subarray(i * embedding, (i + 1) * embedding))
  }

  bytes(): Buffer {
    const header = Buffer.from(JSON.stringify(this.header))
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(header.length))
    return Buffer.concat([length, header, this.#body])
  }
}
