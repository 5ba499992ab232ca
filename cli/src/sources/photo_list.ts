import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { linesOf } from '../files/lines.js'
import type { Bits } from '../shared/bits.js'
import type { DatasetItem } from './dataset.js'

const piece = 2 ** 16 // characters that are written at once

/** Photos in order, in a file without a name: a list of a million needs no memory. The system removes the file when the process ends. */
export class PhotoList implements Iterable<DatasetItem> {
  readonly #file: number
  readonly #waiting: string[] = []
  #waitingLength = 0
  #length = 0

  constructor(photos: Iterable<DatasetItem> = []) {
    const folder = mkdtempSync(join(tmpdir(), 'clip-es-photos-'))
    this.#file = openSync(join(folder, 'list'), 'w+')
    rmSync(folder, { recursive: true }) // an open file stays
    for (const photo of photos) this.add(photo)
  }

  get length(): number {
    return this.#length
  }

  add({ id, photo, labels }: DatasetItem): void {
    const line = JSON.stringify(labels ? [id, photo, labels] : [id, photo])
    this.#waiting.push(line)
    this.#waitingLength += line.length
    this.#length++
    if (this.#waitingLength > piece) this.#write()
  }

  #write(): void {
    if (!this.#waiting.length) return
    const bytes = Buffer.from(`${this.#waiting.join('\n')}\n`)
    for (let written = 0; written < bytes.length; ) written += writeSync(this.#file, bytes, written)
    this.#waiting.length = 0
    this.#waitingLength = 0
  }

  *[Symbol.iterator](): Generator<DatasetItem> {
    this.#write()
    for (const { bytes } of linesOf(this.#file)) {
      const [id, photo, labels] = JSON.parse(bytes.toString('utf8')) as [string, string, number[]?]
      yield labels ? { id, photo, labels } : { id, photo }
    }
  }

  /** With their numbers, from 0. */
  *entries(): Generator<[number: number, item: DatasetItem]> {
    let number = 0
    for (const item of this) yield [number++, item]
  }

  /** Some of them, by their numbers. */
  *only(numbers: Bits): Generator<DatasetItem> {
    for (const [number, item] of this.entries()) if (numbers.has(number)) yield item
  }

  close(): void {
    closeSync(this.#file)
  }
}
