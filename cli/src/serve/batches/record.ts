import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { readRegularSync, writeWhole } from 'clip-es/support'
import type { BatchState, BatchTask } from 'clip-es-server'
import type { RunSettings } from '../../results/manifest.js'

/** `batch.json` in the folder of a batch: what it has to do and, at the end, what has become of it. */
export interface BatchRecord {
  format: 1
  photos: BatchTask['photos']
  settings: RunSettings
  /** Indices of the classes that every photo shows, unless it has labels of its own. Absent where CLIP finds them. */
  labels?: readonly number[]
  callback?: string
  /** Whether the callback was told of the end, or cannot be. */
  told?: boolean
  /** The last one that was written: 'waiting', or how it has ended. */
  state: BatchState
}

/** The folder of all batches, from the root. */
export const batchesFolder = 'clip-es-batches'

/** Keeps the records of batches in their folders. */
export class BatchRecords {
  readonly #folder: string

  /** @param root the folder that workers see */
  constructor(readonly root: string) {
    this.#folder = join(root, batchesFolder)
    mkdirSync(this.#folder, { recursive: true })
  }

  folder = (id: string): string => join(this.#folder, id)

  #file = (id: string): string => join(this.folder(id), 'batch.json')

  /** Undefined where there is none, also for what is not an id. */
  read(id: string): BatchRecord | undefined {
    if (!/^[0-9a-f-]{36}$/.test(id) || !existsSync(this.#file(id))) return undefined
    const record = JSON.parse(readRegularSync(this.#file(id)).toString('utf8')) as BatchRecord
    if (record.format !== 1) throw new Error(`${this.#file(id)}: its format is ${record.format}; this version reads format 1`)
    return record
  }

  write(record: BatchRecord): void {
    const { id } = record.state
    mkdirSync(this.folder(id), { recursive: true })
    writeWhole(this.#file(id), JSON.stringify(record))
  }

  /** In the order in which they were made. */
  all(): BatchRecord[] {
    const found = readdirSync(this.#folder).flatMap((id) => this.read(id) ?? [])
    return found.sort((a, b) => (a.state.created < b.state.created ? -1 : 1))
  }
}
