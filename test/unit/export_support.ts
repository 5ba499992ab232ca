// What the tests of `clip-es export` share: classes, masks, and photos of them.
import type { ExportPhoto } from '../../cli/src/export/photo.js'
import type { LabelMap } from '../../ts/photos/mask_png.js'
import { mapOf, randomMap } from './masks.js'

export const classes = [{ name: 'cat', colour: '#ff8800' }, { name: 'a "big" dog' }, { name: 'tree & leaf' }]

export function photoOf({ data, width, height }: LabelMap, id = 'a/x', scores: [number, number][] = []): ExportPhoto {
  return { id, fileName: `${id}.jpg`, mask: data, width, height, scores: new Map(scores) }
}

export async function* each<T>(photos: readonly T[]): AsyncGenerator<T> {
  yield* photos
}

export async function joined(parts: AsyncIterable<string>): Promise<string> {
  let text = ''
  for await (const part of parts) text += part
  return text
}

export const ring = mapOf('.....', '.222.', '.2.2.', '.222.', '..*.1')
export const noisy = [0, 1, 2].map((seed) => randomMap(15 + seed, 12, [0.3, 0.3, 0.2, 0.2], seed))
