import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type CocoShape, eachPixel } from '../../cli/src/sources/coco_shapes.js'

/** The pixels of a shape, a row a word. */
function drawn(shape: CocoShape, width: number, height: number): string {
  const pixels = new Uint8Array(width * height)
  eachPixel(shape, width, height, (pixel) => {
    assert.ok(pixel >= 0 && pixel < pixels.length, `a pixel outside: ${pixel}`)
    pixels[pixel] = 1
  })
  return (pixels.join('').match(new RegExp(`.{${width}}`, 'g')) ?? []).join(' ')
}

// Expected values are those of pycocotools 2.0.11.
test('polygons are filled as in cocoapi, also beyond the edges, and several make one shape', () => {
  assert.is(
    drawn([[1.2, 1.1, 9.7, 2.3, 6.4, 8.8, 2.0, 7.1]], 12, 9),
    '000000000000 011000000000 011111111100 001111111000 001111111000 001111110000 001111110000 000111100000 000000100000',
  )
  assert.is(
    drawn([[-3, 4, 6.5, -2, 13.2, 5.5, 5, 12]], 12, 9),
    '000111111000 011111111100 111111111110 111111111110 111111111111 111111111111 111111111111 011111111110 001111111000',
  )
  assert.is(
    drawn(
      [
        [0, 0, 3, 0, 3, 3, 0, 3],
        [5, 5, 9.5, 5, 9.5, 8, 5, 8],
      ],
      12,
      9,
    ),
    '111000000000 111000000000 111000000000 000000000000 000000000000 000001111100 000001111100 000001111100 000000000000',
  )
})

test('run-length codes count down the columns, as numbers and as a string', () => {
  const shape = '011100000 001010100 111100010 000011001 100101011 010100101 111011111'
  assert.is(drawn({ size: [7, 9], counts: '2110010O141MNO011OO01011NO0021OOO00023' }, 9, 7), shape)
  assert.is(drawn({ size: [2, 3], counts: [1, 2, 3] }, 3, 2), '010 100')
})

test('packed numbers have as many characters as they need', () => {
  // '`1' is 48, 'Xi4' is 4904: 48 pixels without, 48 with, the rest without.
  const shape = drawn({ size: [50, 100], counts: '`1`1Xi4' }, 100, 50)
  assert.is(shape.replace(/[^1]/g, '').length, 48)
  assert.equal(
    shape.split(' ').map((row) => row.slice(0, 3)),
    Array.from({ length: 50 }, (_, y) => (y < 46 ? '010' : y < 48 ? '000' : '100')),
  )
})

test('a polygon that reaches far beyond the picture fills all of it', () => {
  for (const shift of [-6, 6]) {
    const square = [0, 0, 3, 0, 3, 3, 0, 3]
    const moved = (dx: number, dy: number) => square.map((value, i) => value + (i % 2 ? dy : dx))
    for (const polygon of [moved(shift, 0), moved(0, shift), moved(shift, shift), moved(shift / 3, -1), moved(-1, shift / 3)])
      assert.match(drawn([polygon], 4, 4), Math.abs((polygon[0] as number) + (polygon[1] as number)) > 4 ? /^[0 ]+$/ : /^[01 ]+$/)
  }
  assert.is(drawn([[-100, -100, 500, -100, 500, 500, -100, 500]], 3, 2), '111 111')
})

test('values that are not shapes of the picture are refused, and nothing is painted', () => {
  const cases: [unknown, RegExp][] = [
    [undefined, /^is missing$/],
    [null, /^is null$/],
    ['none', /^is 'none'$/],
    [[], /^is an empty list$/],
    [[[]], /a polygon of 0 numbers; x and y of three corners or more/],
    [[[1, 1, 5, 5]], /a polygon of 4 numbers/],
    [[[1, 1, 5, 5, 7]], /a polygon of 5 numbers/],
    [[[0, 0, 1, 0, 1, 1, 2]], /a polygon of 7 numbers/],
    [[0, 0, 1, 0, 1, 1], /holds 0 where a polygon/],
    [
      [
        [
          [0, 0],
          [1, 0],
          [1, 1],
        ],
      ],
      /a polygon of 3 numbers/,
    ],
    [[[0, 0, null, 0, 1, 1]], /holds null in a polygon/],
    [[['0', '0', '1', '0', '1', '1']], /holds '0' in a polygon/],
    [[[0, 0, Number.NaN, 0, 1, 1]], /holds NaN in a polygon/],
    [[[0, 0, 1e9, 0, 1e9, 1e9]], /holds 1000000000 in a polygon; numbers of up to 100000/],
    [{ size: [2, 3] }, /has no 'counts'/],
    [{ counts: [6] }, /is a run-length code of undefined/],
    [{ size: [2, 3], counts: null }, /has the counts null/],
    [{ size: [2, 3], counts: [1, 2] }, /has counts of 3 pixels; its picture has 6/],
    [{ size: [2, 3], counts: [1, 9] }, /has counts of 10 pixels; its picture has 6/],
    [{ size: [2, 3], counts: [8, -2] }, /holds the count -2/],
    [{ size: [2, 3], counts: [1.5, 4.5] }, /holds the count 1\.5/],
    [{ size: [2, 3], counts: "b'abc'" }, /has the counts "b'abc'", which are not compressed counts of COCO/],
    [{ size: [2, 3], counts: '\u2603\u2603' }, /which are not compressed counts of COCO/],
  ]
  for (const [shape, message] of cases)
    assert.throws(
      () => eachPixel(shape, 3, 2, () => assert.unreachable('painted')),
      (error: Error) => message.test(error.message),
      JSON.stringify(shape),
    )
})

test('corners lie up to 100 000 pixels away, and a polygon has three of them', () => {
  assert.match(drawn([[0, 0, 1e5, 0, 1, 1]], 2, 1), /^[01]{2}$/)
  for (const far of [100_001, -100_001]) assert.throws(() => drawn([[0, 0, far, 0, 1, 1]], 2, 1), /up to 100000 are expected/)
  assert.throws(() => drawn([[0, 0, 1, 0, 1]], 2, 1), /of 5 numbers; x and y of three corners or more are expected/)
  // A list with a hole, as programs can give it.
  // biome-ignore lint/suspicious/noSparseArray: it is what is tested
  assert.throws(() => drawn([[0, 0, , 0, 1, 1] as number[]], 2, 1), /holds undefined in a polygon/)
})

test('a shape of another size is refused with both sizes', () => {
  assert.throws(
    () => drawn({ size: [2, 3], counts: [6] }, 2, 3),
    /is a run-length code of \[ 2, 3 \] \(height, width\); its picture is \[3, 2\]/,
  )
})

test.run()
