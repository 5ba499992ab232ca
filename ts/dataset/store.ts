import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, isAbsolute, join, normalize } from 'node:path'
import { invalid } from '../errors.js'

/** What is written for each photo. */
export type OutputKind = 'mask' | 'confidence' | 'cams'

const places: Readonly<Record<OutputKind, readonly [folder: string, extension: string]>> = {
  mask: ['masks', '.png'],
  confidence: ['confidence', '.png'],
  cams: ['cams', '.npz'],
}

/** Where a photo's result lies in the folder of a data set's results. */
export function resultFile(out: string, kind: OutputKind, id: string): string {
  const [folder, extension] = places[kind]
  const path = normalize(id)
  if (isAbsolute(path) || path.split('/').includes('..')) throw invalid(`its name leads out of the folder of results: ${id}`)
  return join(out, folder, `${path}${extension}`)
}

export const resultFolder = (out: string, kind: OutputKind): string => join(out, places[kind][0])

/** Writes results so that each file is there whole or not at all, whenever the process ends. */
export class ResultStore {
  /** Unfinished files. A killed process leaves its own behind; the next one of the shard clears them away. */
  readonly #partial: string

  constructor(
    readonly out: string,
    shard: string,
  ) {
    this.#partial = join(out, `.partial-${shard}`)
    rmSync(this.#partial, { recursive: true, force: true })
    mkdirSync(this.#partial)
  }

  has(id: string, kinds: Iterable<OutputKind>): boolean {
    return [...kinds].every((kind) => existsSync(resultFile(this.out, kind, id)))
  }

  remove(id: string): void {
    for (const kind of Object.keys(places) as OutputKind[]) rmSync(resultFile(this.out, kind, id), { force: true })
  }

  /** All files of a photo are written first and renamed then: a disk that is full in between leaves none of them. Synchronous: quick
   * beside making them, and two photos cannot meet. */
  save(id: string, files: ReadonlyMap<OutputKind, Uint8Array>): void {
    const written: [from: string, to: string][] = []
    try {
      for (const [kind, bytes] of files) {
        const from = join(this.#partial, kind)
        written.push([from, resultFile(this.out, kind, id)])
        writeFileSync(from, bytes)
      }
      for (const [, to] of written) mkdirSync(dirname(to), { recursive: true })
      for (const [from, to] of written) renameSync(from, to)
    } finally {
      for (const [from] of written) rmSync(from, { force: true })
    }
  }

  close(): void {
    rmSync(this.#partial, { recursive: true, force: true })
  }
}
