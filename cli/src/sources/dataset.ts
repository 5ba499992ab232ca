import type { PhotoList } from './photo_list.js'

/** A photo of a data set and what is in it. */
export interface DatasetItem {
  /** Where results go: a relative path without extension, such as '2007_000032' or 'cats/1'. */
  id: string
  /** The photo's path. */
  photo: string
  /** Indices into the class file, ascending, at least one. Absent where CLIP is to find them. */
  labels?: number[]
}

/** A photo whose labels are known. */
export type LabelledItem = DatasetItem & { labels: number[] }

/** A photo that cannot be done, or could not be. */
export interface Failure {
  /** The photo's id, or what the annotations call it. */
  id: string
  message: string
}

/** What a data set's annotations say, before any photo is opened. */
export interface Dataset {
  items: DatasetItem[]
  failures: Failure[]
  /** Not failures, but surprises: photos without labels. */
  notes: string[]
}

/** The same with its photos in a file. */
export type PackedDataset = Omit<Dataset, 'items'> & { items: PhotoList }

/** The i-th of n equal parts: each item is in exactly one. `part` counts from 1. */
export function* shardOf<T>(items: Iterable<T>, part: number, of: number): Generator<T> {
  let number = 0
  for (const item of items) if (number++ % of === part - 1) yield item
}
