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

/** The i-th of n equal parts: each item is in exactly one. `part` counts from 1. */
export const shardOf = <T>(items: readonly T[], part: number, of: number): T[] => items.filter((_, i) => i % of === part - 1)
