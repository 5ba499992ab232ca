import type { Evaluation } from './evaluation.js'

/** A class whose pixels another one got. */
export interface Taken {
  from: string
  by: string
  /** Pixels. */
  pixels: number
  /** Of the pixels that the first class has in the truth. */
  share: number
}

/** Which classes take pixels from which, most pixels first. Background neither takes nor loses here: it says nothing about words. */
export function takenPixels({ labels, confusion }: Pick<Evaluation, 'labels' | 'confusion'>): Taken[] {
  const pairs = labels.flatMap((from) =>
    labels.flatMap((by) => {
      const pixels = confusion[from.value]?.[by.value] ?? 0
      if (from === by || !from.value || !by.value || !pixels) return []
      return [{ from: from.name, by: by.name, pixels, share: pixels / from.truth }]
    }),
  )
  return pairs.sort((a, b) => b.pixels - a.pixels)
}
