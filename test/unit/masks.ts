import type { LabelMap } from '../../ts/photos/png.js'

/** A mask as it is drawn: '.' is 0, '#' is 1, digits are themselves, '*' is 255. */
export function mapOf(...rows: string[]): LabelMap {
  const read = (character: string): number => ({ '.': 0, '#': 1, '*': 255 })[character] ?? Number(character)
  return { data: Uint8Array.from(rows.join(''), read), width: (rows[0] as string).length, height: rows.length }
}

/** A mask of values 0, 1, …, as often as their shares say. The same for the same seed. */
export function randomMap(width: number, height: number, shares: readonly number[], seed: number): LabelMap {
  let state = seed + 1
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (((state >>> 8) * 0x9e3779b1) % 2 ** 24) / 2 ** 24
  }
  const highest = shares.map((_, i) => shares.slice(0, i + 1).reduce((sum, share) => sum + share, 0))
  const data = Uint8Array.from({ length: width * height }, () => {
    const number = random()
    const value = highest.findIndex((limit) => number < limit)
    return value < 0 ? shares.length - 1 : value
  })
  return { data, width, height }
}
