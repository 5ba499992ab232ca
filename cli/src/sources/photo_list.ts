import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { lineAt, linesOf } from '../files/lines.js'
import type { Bits } from '../shared/bits.js'
import type { DatasetItem } from './dataset.js'

const piece = 2 ** 16 // bytes that are written at once

/** Photos in order, in a file without a name: a list of a million needs no memory. The system removes the file when the process ends. */
export class PhotoList implements Iterable<DatasetItem> {
  readonly #file: number
  readonly #waiting: string[] = []
  #length = 0
  #size = 0 // bytes, with those that are not written yet
  #written = 0

  constructor(photos: Iterable<DatasetItem> = []) {
    const folder = mkdtempSync(join(tmpdir(), 'clip-es-photos-'))
    this.#file = openSync(join(folder, 'list'), 'w+')
    rmSync(folder, { recursive: true }) // an open file stays
    for (const photo of photos) this.add(photo)
  }

  get length(): number {
    return this.#length
  }

  /** Returns its place in the file. */
  add({ id, photo, labels }: DatasetItem): number {
    const line = JSON.stringify(labels ? [id, photo, labels] : [id, photo])
    const place = this.#size
    this.#size += Buffer.byteLength(line) + 1
    this.#waiting.push(line)
    this.#length++
    if (this.#size - this.#written > piece) this.#write()
    return place
  }

  /** The photo at a place in the file. */
  at(place: number): DatasetItem {
    this.#write()
    return itemOf(lineAt(this.#file, place))
  }

  #write(): void {
    if (!this.#waiting.length) return
    const bytes = Buffer.from(`${this.#waiting.join('\n')}\n`)
    for (let written = 0; written < bytes.length; ) written += writeSync(this.#file, bytes, written)
    this.#waiting.length = 0
    this.#written = this.#size
  }

  *[Symbol.iterator](): Generator<DatasetItem> {
    this.#write()
    for (const { bytes } of linesOf(this.#file)) yield itemOf(bytes)
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

function itemOf(line: Buffer): DatasetItem {
  const [id, photo, labels] = JSON.parse(line.toString('utf8')) as [string, string, number[]?]
  return labels ? { id, photo, labels } : { id, photo }
}
