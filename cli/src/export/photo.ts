import { ignored } from 'clip-es'
import { invalid } from 'clip-es/support'

/** A class of the results. Its value in a mask is its index in the list of classes plus one. */
export interface ExportClass {
  name: string
  /** '#rrggbb'; VOC's colour of the value without one. */
  colour?: string
}

/** A photo with its mask, as the writers of all formats take it. */
export interface ExportPhoto {
  /** '/'-separated path from the folder of the photos, with extension. */
  fileName: string
  /** What the mask is called, without extension: as a rule the photo's path without extension. */
  id: string
  width: number
  height: number
  /** Row by row: 0 background, 1 the first class, …, 255 ignored. */
  mask: Uint8Array
  /** The probability of each label, by its value in the mask. Values without a known one are absent. */
  scores: ReadonlyMap<number, number>
}

/**
 * The classes that a mask has pixels of, by their values, ascending. Background and ignored pixels are left out.
 * @throws ERR_INVALID_ARG for a mask that does not have width * height values, and for a value without a class
 */
export function valuesIn({ id, mask, width, height }: ExportPhoto, classes: readonly ExportClass[]): number[] {
  if (mask.length !== width * height)
    throw invalid(`${id}: the mask has ${mask.length} values; ${width} x ${height} needs ${width * height}`)
  const there = new Set(mask)
  const values = [...there].filter((value) => value !== 0 && value !== ignored).sort((a, b) => a - b)
  const unknown = values.find((value) => value > classes.length)
  if (unknown !== undefined)
    throw invalid(
      `${id}: the mask has the value ${unknown}, and there are ${classes.length} classes; name the class file that the masks were made with`,
    )
  return values
}
