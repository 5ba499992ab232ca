import type { ClassSetData } from '../../ts/classes/class_set_data.js'

/** Three classes, of which the second has two rows, and a background word. */
export const smallSet: ClassSetData = {
  names: ['a', 'b', 'c'],
  background: ['sky'],
  droppedBackground: ['B'],
  templates: ['{}', 'a {}'],
  fusion: 'cam',
  fingerprint: 'f',
  embedding: 2,
  rows: Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8]),
  firstRow: Int32Array.of(0, 1, 3, 4),
  backgroundRows: Float32Array.of(9, 10),
  labelThresholds: [undefined, 0, 1],
}
