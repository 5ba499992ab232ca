import { mkdirSync, rmSync, statSync } from 'node:fs'
import { isAbsolute, join, normalize } from 'node:path'
import { checkNameLength, invalid, writeAllWhole } from 'clip-es/support'
import type { Journal } from './journal.js'

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
  if (isAbsolute(path) || path.split('/').includes('..')) throw invalid(`its name points outside the results folder: ${id}`)
  return join(out, folder, `${path}${extension}`)
}

export const resultFolder = (out: string, kind: OutputKind): string => join(out, places[kind][0])

/** Where the results of a run go. */
export interface Results {
  store: ResultStore
  journal: Journal
}

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

  /** Throws ERR_INVALID_ARG for a photo whose results cannot have their names. */
  check(id: string, kinds: Iterable<OutputKind>): void {
    for (const kind of kinds) checkNameLength(resultFile(this.out, kind, id))
  }

  /** Whether the results are there. An empty file is not one: a machine that lost power can leave it behind. */
  has(id: string, kinds: Iterable<OutputKind>): boolean {
    return [...kinds].every((kind) => (statSync(resultFile(this.out, kind, id), { throwIfNoEntry: false })?.size ?? 0) > 0)
  }

  remove(id: string): void {
    for (const kind of Object.keys(places) as OutputKind[]) rmSync(resultFile(this.out, kind, id), { force: true })
  }

  /** All of a photo's files or none. Synchronous: fast compared with making them, and two photos cannot meet. */
  save(id: string, files: ReadonlyMap<OutputKind, Uint8Array>): void {
    writeAllWhole(
      [...files].map(([kind, bytes]) => [resultFile(this.out, kind, id), bytes]),
      this.#partial,
    )
  }

  close(): void {
    rmSync(this.#partial, { recursive: true, force: true })
  }
}
